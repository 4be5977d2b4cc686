"""Reads what TensorBoard would."""

from pathlib import Path


def read_events(folder: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of all scalars, and ("purge", step, 0) where a session starts again."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(folder.glob("events*")):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            events += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            if event.HasField("session_log"):
                events.append(("purge", event.step, 0.0))
    return events


def points_of(run_dir: Path, tag: str) -> list[tuple[int, float]]:
    """Steps and values of a tag, as TensorBoard shows them."""
    points: list[tuple[int, float]] = []
    for name, step, value in read_events(run_dir / "tensorboard"):
        if name == "purge":
            points = [point for point in points if point[0] < step]
        elif name == tag:
            points.append((step, value))
    return points
