"""The geometric prior: what a portrait shows of a head, moved by the morphable model; the networks begin from it."""
