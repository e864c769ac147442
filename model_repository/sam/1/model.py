"""SAM 2 behind Triton: regions of a picture from clicks, a box or words."""

from services.runtime.batch_door import BatchDoor
from services.runtime.place import bundle_named, device_of
from services.sam.service import Sam


class TritonPythonModel:
    def initialize(self, args):
        self.door = BatchDoor(Sam(bundle_named("sam"), device_of(args)))

    def execute(self, requests):
        return self.door.answer(requests)
