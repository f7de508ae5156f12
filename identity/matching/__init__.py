"""Who is one person, by probability: a record linker that records enter and leave one by one.

    record ─► visible values ─► blocking keys ─► pairs weighed ─► links ─► components ─► people

| to know | read |
|---|---|
| how it all hangs together | `linker.py`, what bounds it: `limits.py` |
| what fields are | `schema.py`, `records.py`; of a table: `columns.py`; how values are read: `readings.py` |
| how two values compare | `comparisons.py` |
| which records are compared | `keys.py`, `index.py`; what nobody owns: `generic.py` |
| how likely a pair is one person | `model.py`, `scoring.py`; in words: `explanations.py` |
| where the model comes from | `learning.py` |
| what is decided together, and how | `components.py`, `clustering.py`, `profiles.py` |
| what is told of it | `changes.py` |

Nothing here does I/O. Why it is so: docs/decisions/0017.
"""
