"""Other people's programs against `stepdown serve`, each in an environment of its own: `make clients`."""
