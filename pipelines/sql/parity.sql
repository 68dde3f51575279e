-- Each key whose number or unit is not the same in both engines (pipelines/
-- parity): tables streaming and pushdown have KPI records.
with keys as (
	select date, app_id, platform, source_system, metric, segment
	from streaming
	union
	select date, app_id, platform, source_system, metric, segment
	from pushdown
), both as (
	select k.*, s.metric is null as not_s, p.metric is null as not_p,
	    s.value as sv, p.value as pv, s.num as sn, p.num as pn,
	    s.den as sd, p.den as pd, s.unit as su, p.unit as pu
	from keys k
	left join streaming s using (date, app_id, platform, source_system,
	    metric, segment)
	left join pushdown p using (date, app_id, platform, source_system,
	    metric, segment)
), compared as (
	select *, case
	    when not_s then 'no row in streaming'
	    when not_p then 'no row in pushdown'
	    else ltrim(
		case when dec_same(sv, pv) then '' else ', value' end ||
		case when dec_same(sn, pn) then '' else ', num' end ||
		case when dec_same(sd, pd) then '' else ', den' end ||
		case when su = pu then '' else
		    ', unit ' || su || ' and ' || pu end, ', ')
	    end as differs
	from both
)
select 'parity' as "check", 'error' as severity, source_system, date, app_id,
    platform, metric, segment, sv as streaming, pv as pushdown, differs,
    'the two engines count ' || metric || ' differently (' || differs || ')'
	as message,
    'look at both: kpi-agg over the raw layer, kpi-agg --sql over the export; an export that was rewritten since it was fetched differs too'
	as action
from compared where differs <> ''
order by date, app_id, platform, metric, segment;
