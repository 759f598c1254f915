"""What is made: pictures, videos and motions, from what a job asks for."""
