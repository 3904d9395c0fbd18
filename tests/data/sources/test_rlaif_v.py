"""Rows of RLAIF-V."""

import pyarrow as pa
import pyarrow.parquet as pq
from support.sources import JPEG, published, read

from r1reward.core.pair import Media
from r1reward.core.rows import cut, read_unit


def test_rlaif_v_from_parquet(tmp_path):
    row = {
        "ds_name": "RLAIF-V",
        "image": {"bytes": JPEG, "path": "000000000139.jpg"},
        "question": "Where?",
        "chosen": "Here.",
        "rejected": "There.",
        "origin_dataset": "COCO",
        "origin_split": '{"model": "llava15"}',
        "idx": "4",
        "image_path": "llava1.5_raw_images/00013/1.jpg",
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "RLAIF-V-Dataset_000.parquet")
    [(_, found)] = read_unit(cut(tmp_path / "RLAIF-V-Dataset_000.parquet")[0])
    image = (Media.embedded(JPEG),)
    expected = published("Where?", "Here.", "There.", image, "rlaif_v", "4")
    assert read("rlaif_v", found) == [expected]
