-- FinOps FOCUS 1.2: a row for each UTC day, model, price source, batch, task and kind of token, never for an attempt. Its
-- costs add up to the ledger's priced total. A cost that is not split into parts (corrected by hand, or booked before
-- there were any) is charged by the request. A unit price is what the row's cost comes to by unit. Half price is the list
-- price of a SKU of its own, such as "claude-opus-4-7, batch". Each endpoint of ENDPOINTS_FILE is a provider by its name.
-- All of its columns are here: what Anthropic does not have (regions, commitments, sub accounts) is NULL.
SELECT
    CAST(NULL AS VARCHAR(10)) AS "AvailabilityZone",
    USD(cost) AS "BilledCost",
    endpoint AS "BillingAccountId",
    provider AS "BillingAccountName",
    'Organization' AS "BillingAccountType",
    'USD' AS "BillingCurrency",
    MIDNIGHT(MONTH_AFTER(day)) AS "BillingPeriodEnd",
    MIDNIGHT(MONTH_OF(day)) AS "BillingPeriodStart",
    CAST(NULL AS VARCHAR(10)) AS "CapacityReservationId",
    CAST(NULL AS VARCHAR(10)) AS "CapacityReservationStatus",
    'Usage' AS "ChargeCategory",
    CAST(NULL AS VARCHAR(10)) AS "ChargeClass",
    meter || ' of ' || sku AS "ChargeDescription",
    'Usage-Based' AS "ChargeFrequency",
    MIDNIGHT(NEXT_DAY(day)) AS "ChargePeriodEnd",
    MIDNIGHT(day) AS "ChargePeriodStart",
    CAST(NULL AS VARCHAR(10)) AS "CommitmentDiscountCategory",
    CAST(NULL AS VARCHAR(10)) AS "CommitmentDiscountId",
    CAST(NULL AS VARCHAR(10)) AS "CommitmentDiscountName",
    CAST(NULL AS NUMERIC) AS "CommitmentDiscountQuantity",
    CAST(NULL AS VARCHAR(10)) AS "CommitmentDiscountStatus",
    CAST(NULL AS VARCHAR(10)) AS "CommitmentDiscountType",
    CAST(NULL AS VARCHAR(10)) AS "CommitmentDiscountUnit",
    quantity AS "ConsumedQuantity",
    unit AS "ConsumedUnit",
    USD(cost) AS "ContractedCost",
    UNIT_USD(cost * pack, quantity) AS "ContractedUnitPrice",
    USD(cost) AS "EffectiveCost",
    CAST(NULL AS VARCHAR(10)) AS "InvoiceId",
    provider AS "InvoiceIssuerName",
    USD(cost) AS "ListCost",
    UNIT_USD(cost * pack, quantity) AS "ListUnitPrice",
    'Standard' AS "PricingCategory",
    'USD' AS "PricingCurrency",
    UNIT_USD(cost * pack, quantity) AS "PricingCurrencyContractedUnitPrice",
    USD(cost) AS "PricingCurrencyEffectiveCost",
    UNIT_USD(cost * pack, quantity) AS "PricingCurrencyListUnitPrice",
    QUOTIENT(quantity, pack) AS "PricingQuantity",
    CASE WHEN pack = 1 THEN unit ELSE pack || ' ' || unit END AS "PricingUnit",
    provider AS "ProviderName",
    CASE SUBSTR(REPLACE(sku, endpoint || '/', ''), 1, 7) WHEN 'claude-' THEN 'Anthropic' ELSE provider END AS "PublisherName",
    CAST(NULL AS VARCHAR(10)) AS "RegionId",
    CAST(NULL AS VARCHAR(10)) AS "RegionName",
    CAST(NULL AS VARCHAR(10)) AS "ResourceId",
    CAST(NULL AS VARCHAR(10)) AS "ResourceName",
    CAST(NULL AS VARCHAR(10)) AS "ResourceType",
    'AI and Machine Learning' AS "ServiceCategory",
    CASE endpoint WHEN 'anthropic' THEN 'Claude API' ELSE endpoint END AS "ServiceName",
    'Generative AI' AS "ServiceSubcategory",
    sku AS "SkuId",
    meter AS "SkuMeter",
    CASE tier WHEN 'batch' THEN '{"x_ServiceTier": "batch"}' END AS "SkuPriceDetails",
    sku || ' / ' || meter || ' / ' || price_source AS "SkuPriceId",
    CAST(NULL AS VARCHAR(10)) AS "SubAccountId",
    CAST(NULL AS VARCHAR(10)) AS "SubAccountName",
    CAST(NULL AS VARCHAR(10)) AS "SubAccountType",
    TAGS(task, batch, batch_id) AS "Tags",
    cost AS "x_CostNanoUsd"
FROM (
    SELECT
        s.day, s.endpoint, s.tier, s.price_source, s.task, s.batch_id, k.meter, k.unit, k.pack,
        CASE s.endpoint WHEN 'anthropic' THEN 'Anthropic' ELSE s.endpoint END AS provider,
        CASE s.tier WHEN 'batch' THEN s.model || ', batch' ELSE s.model END AS sku,
        (SELECT b.name FROM batches AS b WHERE b.id = s.batch_id) AS batch,
        CASE k.meter
            WHEN 'Input Tokens' THEN s.input_tokens
            WHEN 'Cache Read Tokens' THEN s.cache_read_tokens
            WHEN 'Cache Write 5m Tokens' THEN s.cache_write_5m_tokens
            WHEN 'Cache Write 1h Tokens' THEN s.cache_write_1h_tokens
            WHEN 'Output Tokens' THEN s.output_tokens
            WHEN 'Web Searches' THEN s.web_searches
            ELSE s.attempts
        END AS quantity,
        CASE k.meter
            WHEN 'Input Tokens' THEN s.input_nano_usd
            WHEN 'Cache Read Tokens' THEN s.cache_read_nano_usd
            WHEN 'Cache Write 5m Tokens' THEN s.cache_write_5m_nano_usd
            WHEN 'Cache Write 1h Tokens' THEN s.cache_write_1h_nano_usd
            WHEN 'Output Tokens' THEN s.output_nano_usd
            WHEN 'Web Searches' THEN s.web_search_nano_usd
            ELSE s.cost_nano_usd
        END AS cost
    FROM v_spending AS s
    CROSS JOIN (
        SELECT 'Input Tokens' AS meter, 'Tokens' AS unit, 1000000 AS pack
        UNION ALL SELECT 'Cache Read Tokens', 'Tokens', 1000000
        UNION ALL SELECT 'Cache Write 5m Tokens', 'Tokens', 1000000
        UNION ALL SELECT 'Cache Write 1h Tokens', 'Tokens', 1000000
        UNION ALL SELECT 'Output Tokens', 'Tokens', 1000000
        UNION ALL SELECT 'Web Searches', 'Searches', 1000
        UNION ALL SELECT 'Requests', 'Requests', 1
    ) AS k
    WHERE s.is_split = CASE k.meter WHEN 'Requests' THEN 0 ELSE 1 END
) AS charges
WHERE quantity > 0
