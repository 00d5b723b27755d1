"""The number of threads changes no bit of what curation chooses."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PROGRAM = """
import hashlib
import numpy as np, polars as pl
from pipelines.curation.budget import facility_location, k_center
from pipelines.curation.clusters import k_means
from pipelines.curation.decontamination import DecontaminationRecipe, find_overlaps, index_items
from pipelines.curation.hashing_vectoriser import HashingVectoriser
from pipelines.curation.near_duplicates import NearDuplicateRecipe, find_near_duplicates
from pipelines.curation.semantic_duplicates import find_semantic_duplicates
rng = np.random.default_rng(0)
keys = pl.Series([f"k{n}" for n in range(600)])
texts = pl.Series([" ".join(f"w{w}" for w in rng.zipf(1.3, 30) % 97) for _ in keys])
rows = HashingVectoriser(64).fitted(texts).embed(texts)
clusters = k_means(keys, rows, 7, seed=0)
index = index_items(keys[:50], texts[:50], DecontaminationRecipe(ngram=3))
found = [rows, clusters, k_center(keys, rows, 40), facility_location(keys, rows, 40)]
tables = [
    find_near_duplicates(keys, texts, NearDuplicateRecipe(shingle_size=1, threshold=0.5)),
    find_semantic_duplicates(keys, rows, clusters, 0.8),
    find_overlaps(index, keys, texts),
]
assert all(table.height >= 600 for table in tables)
print(*(hashlib.sha256(part.tobytes()).hexdigest() for part in found))
print(*(hashlib.sha256(table.write_csv().encode()).hexdigest() for table in tables))
"""


def hashes(num_threads):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, str(num_threads))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_one_thread_and_many_give_the_same_bytes():
    alone = hashes(1)
    assert len(alone.split()) == 7
    assert hashes(3) == alone
