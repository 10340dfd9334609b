"""Hallucination in vision-language models: measure it, explain it, and mend it by preference tuning (POVID).

The packages, in the order in which data flow through them; each imports only from those above it:

``files``       JSON lines and their faults, journals, results with their origin, the digest of code
``remote``      a model behind OpenAI's protocol: connection, budget, journal of answers
``metrics``     CHAIR, POPE, AMBER, MMHal, LLaVA-Bench and their intervals
``world``       the pocket world: objects, scenes, captions, questions, and the judge that knows the truth
``data``        preference pairs: record, files, corrupting text and images, audit; ``data.rewrite`` asks a remote model
``models``      a LLaVA: load, prompt, generate, score; the shipped weights
``training``    pairs -> batch -> log-probabilities -> loss -> adapter
``pocket``      how the pocket model is made and exported
``analysis``    why and where: factors, probes, language prior, gradients, exact policies, attention, occlusion
``evaluation``  one model against one truth
``study``       many methods, many seeds
``figures``     Matplotlib figures
``widgets``     widgets that live in the static page
``course``      the chapters: checks of exercises, numbers glued into the text; ``course.grading`` marks problem sets
``cli``         the ``povid`` command
"""

from importlib.metadata import version

__version__ = version("povid-lib")
