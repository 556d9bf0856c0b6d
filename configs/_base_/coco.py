"""What every recipe on COCO says: how to get the data."""

data_help = 'get COCO 2017 from https://cocodataset.org and unpack it to data/coco'
