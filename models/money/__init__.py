"""Prices, usage and bounds, in exact nano-dollars.

`price_book` finds a model's price on a day, `pricing` turns usage into cost, `worst_case` bounds a request
before the call. `token_estimate` and `prompt_cache` read a request's size. Imports `errors`, `outcome`, `text` alone.
"""
