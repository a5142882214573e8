"""The grammar of what to do: hpa, quota, recommend, report, bill, alerts."""
