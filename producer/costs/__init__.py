"""Costs before they arise: estimates, prices and their checks, the tables of prices, chain, suggestions and what-if.

`estimate` and `cost_model` estimate a file, `count_tokens` by the provider. `parse_prices` reads prices,
`price_check` and `api_check` find faults. `price_table`, `chain_table`, `suggestion_table` and `whatif_table` lay
answers out.
"""
