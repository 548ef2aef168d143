"""Text for people: tables, progress, money, dates; files written whole or not at all."""
