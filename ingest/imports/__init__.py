"""Files of customers, orders and events: from bytes on the disk to events at the intake.

    upload ─► file ─► reading (a process of its own) ─► stage (rows.sqlite), report ─► importer ─► intake

A job is a definition of kind `import`; its file, its stage and its report lie in the data folder, under `imports/`.
"""
