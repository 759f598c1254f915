"""How fast the engines are: `pirenderer benchmark`."""
