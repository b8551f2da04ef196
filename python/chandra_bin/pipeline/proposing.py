"""The regions that the steps propose, or that a user drew, as a job has them."""

from pathlib import Path

from chandra_bin.errors import NoCluster, warn
from chandra_bin.regions import has_shapes
from chandra_bin.tasks.propose import Detections, propose_area, propose_cluster, propose_point_sources

from .job import Job


def propose_cluster_region(job: Job, image: Path, expmap: Path, detections: Path, out: Path, *,
                           merged: bool) -> Path | None:
    """The region of the cluster, proposed or the user's; None where there is no cluster to be seen."""
    region = job.region(out)
    try:
        job.call(propose_cluster, image, region, kind="extent" if merged else "aperture", sky=merged, expmap=expmap,
                 detections=Detections(detections))
    except NoCluster as error:
        if not region.exists():
            warn(f"{error}; nothing is taken for the cluster until then ({out.name})")
    return region if region.exists() else None


def propose_source_region(job: Job, detections: Path, out: Path, image: Path, cluster: Path | None) -> Path | None:
    """The region of point sources, proposed or the user's; None where there are none."""
    region = job.region(out)
    if region.exists() and not has_shapes(region):
        job.note(**{"point sources": f"none: {out.name} is empty"})
        region.unlink()
        return None
    made = job.call(propose_point_sources, detections, region, image, cluster=cluster,
                    sky=out == job.layout.sources)
    job.note(**{"point sources": made.sources, "detections taken for the cluster": made.dropped})
    return region if region.exists() else None


def propose_area_region(job: Job, cluster: Path | None) -> Path:
    """The region of the area of interest, proposed or the user's."""
    layout = job.layout
    area, _ = (job.region(path) for path in (layout.area, layout.area_physical))
    job.call(propose_area, layout.expmap, area.parent, cluster=cluster, image=layout.image)
    return area
