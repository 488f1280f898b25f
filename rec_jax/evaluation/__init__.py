"""How good it was: ranking, beyond accuracy and regret, each with an interval."""
