"""Prices, usage and bounds, in exact nano-dollars.

`price_book` finds a model's price on a day, `pricing` turns usage into cost, `worst_case` bounds a request before the
call. `token_estimate` guesses a request's tokens. `prompt_cache` marks a shared prefix for the provider's cache.
`cap_settings` parses the settings of caps. Imports `errors`, `outcome`, `text` alone.
"""
