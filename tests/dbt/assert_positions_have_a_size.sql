-- Positions have more than zero contracts; side says whether they lose when the price rises. Fails
-- with the positions.
select * from {{ ref('positions') }}
where not coalesce(contracts > 0, false)
