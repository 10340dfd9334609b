"""Problem sets: the source of a set (``assignment``), its notebooks (``editions``), and grading a class (``grade_class``).

A submission's functions run in a process of their own (``confine``, ``worker``) that sees neither checks nor reference; the checks
run outside (``judge``) and see plain values alone (``wire``).
"""
