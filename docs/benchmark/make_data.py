#!/usr/bin/env python3
"""Makes a file store as Dataverse lays it out, and its catalogue: make_data.py FOLDER FILES BYTES.

Writes FOLDER/files and FOLDER/catalogue.jsonl. The bytes are random (they do not compress) and the same every time.
"""
import hashlib
import json
import os
import random
import sys

PER_DATASET = 100
CHUNK = 1 << 20


def write(path, size, seed):
    digest = hashlib.md5()
    source = random.Random(seed)
    with open(path, "wb") as file:
        for begin in range(0, size, CHUNK):
            data = source.randbytes(min(CHUNK, size - begin))
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def main():
    folder, files, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    datasets = [
        {
            "id": 2 + number,
            "pid": f"doi:10.5072/FK2/S{number}",
            "storage_pids": [{"authority": "10.5072", "identifier": f"FK2/S{number}"}],
            "storage_identifier": f"file://10.5072/FK2/S{number}",
        }
        for number in range((files + PER_DATASET - 1) // PER_DATASET)
    ]
    for dataset in datasets:
        os.makedirs(f"{folder}/files/10.5072/{dataset['storage_pids'][0]['identifier']}")
    with open(f"{folder}/catalogue.jsonl", "w", encoding="utf-8") as catalogue:

        def line(content):
            catalogue.write(json.dumps(content) + "\n")

        line({
            "type": "header",
            "format": "dataverse-backup catalogue",
            "version": 1,
            "made": "2024-01-01T00:00:00Z",
            "source": "make_data.py",
        })
        for dataset in datasets:
            line({"type": "dataset", **dataset})
        for number in range(files):
            dataset = datasets[number // PER_DATASET]
            name = f"18f3a000000-{number:012x}"
            path = f"{folder}/files/10.5072/{dataset['storage_pids'][0]['identifier']}/{name}"
            line({
                "type": "file",
                "id": 2 + len(datasets) + number,
                "dataset": dataset,
                "storage_identifier": f"file://{name}",
                "checksum_type": "MD5",
                "checksum_value": write(path, size, number),
                "content_type": "application/octet-stream",
                "size": size,
            })
        line({"type": "end", "datasets": len(datasets), "files": files})


main()
