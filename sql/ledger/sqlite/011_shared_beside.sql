-- Several hosts share work only by a ledger in PostgreSQL. The number is taken, so that both dialects count alike.
SELECT 1;
