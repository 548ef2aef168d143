-- Run once by the Postgres container, on an empty volume: the ledger's role owns its database, and nothing else.
\getenv password POSTGRES_PASSWORD
CREATE ROLE stepdown LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE stepdown OWNER stepdown;
-- The superuser has no password any more: nobody is let in as one over the network.
ALTER ROLE CURRENT_USER PASSWORD NULL;
