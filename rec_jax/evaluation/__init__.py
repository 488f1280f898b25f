"""How good it was: ranking, beyond accuracy, regret, values from logs, each with its interval."""
