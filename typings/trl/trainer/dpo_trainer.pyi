from typing import Any

DataCollatorForVisionPreference: Any
