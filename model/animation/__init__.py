"""From a portrait and motions to finished pictures: the engine between prior, mouth and composition."""
