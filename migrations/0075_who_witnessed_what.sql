-- Which witness was the first to see an entry: by witness, then by size.
CREATE INDEX cosignatures_witness ON cosignatures (witness, size);
