"""The colours and shapes for the images of the demo: an animal for each taxonomic class."""

BACKGROUNDS = {
    "Aves": "#2e6f95",
    "Mammalia": "#8a5a3b",
    "Reptilia": "#4f7d4a",
    "Amphibia": "#a2557d",
    "Actinopterygii": "#1f7a7a",
}

#: The kind of the shape, whether it has the colour of the background, and its points in a square of 100.
Shape = tuple[str, bool, tuple[float, ...]]
MOTIFS: dict[str, list[Shape]] = {
    "Aves": [
        ("polygon", False, (24, 52, 0, 34, 3, 46, 0, 58)),
        ("ellipse", False, (14, 34, 72, 76)),
        ("ellipse", False, (56, 18, 82, 46)),
        ("polygon", False, (78, 26, 98, 34, 78, 40)),
        ("ellipse", True, (68, 27, 73, 32)),
        ("polygon", True, (30, 48, 60, 50, 40, 66, 14, 62)),
        ("polygon", False, (33, 74, 37, 74, 37, 96, 33, 96)),
        ("polygon", False, (49, 74, 53, 74, 53, 96, 49, 96)),
        ("polygon", False, (33, 92, 46, 96, 33, 96)),
        ("polygon", False, (49, 92, 62, 96, 49, 96)),
    ],
    "Mammalia": [
        ("ellipse", False, (28, 50, 72, 90)),
        ("ellipse", False, (6, 38, 26, 64)),
        ("ellipse", False, (26, 12, 46, 44)),
        ("ellipse", False, (54, 12, 74, 44)),
        ("ellipse", False, (74, 38, 94, 64)),
    ],
    "Reptilia": [
        ("polygon", False, (42, 34, 24, 20, 12, 26, 16, 32, 24, 28, 40, 46)),
        ("polygon", False, (58, 34, 76, 20, 88, 26, 84, 32, 76, 28, 60, 46)),
        ("polygon", False, (42, 58, 26, 68, 22, 80, 28, 82, 32, 72, 46, 66)),
        ("polygon", False, (58, 58, 74, 68, 78, 80, 72, 82, 68, 72, 54, 66)),
        ("ellipse", False, (38, 26, 62, 72)),
        ("ellipse", False, (40, 4, 60, 32)),
        ("polygon", False, (42, 64, 58, 64, 55, 82, 66, 100, 49, 88)),
        ("ellipse", True, (43, 13, 47, 17)),
        ("ellipse", True, (53, 13, 57, 17)),
        ("polygon", True, (50, 36, 55, 42, 50, 48, 45, 42)),
        ("polygon", True, (50, 52, 54, 57, 50, 62, 46, 57)),
    ],
    "Amphibia": [
        ("polygon", False, (26, 42, 4, 14, 12, 12, 34, 36)),
        ("polygon", False, (22, 52, 0, 40, 2, 32, 28, 46)),
        ("polygon", False, (22, 60, 0, 66, 2, 58, 26, 52)),
        ("polygon", False, (74, 42, 96, 14, 88, 12, 66, 36)),
        ("polygon", False, (78, 52, 100, 40, 98, 32, 72, 46)),
        ("polygon", False, (78, 60, 100, 66, 98, 58, 74, 52)),
        ("ellipse", False, (16, 30, 84, 82)),
        ("ellipse", True, (30, 46, 38, 54)),
        ("ellipse", True, (62, 46, 70, 54)),
        ("chord", True, (38, 52, 62, 72)),
    ],
    "Actinopterygii": [
        ("polygon", False, (66, 50, 98, 24, 90, 50, 98, 76)),
        ("polygon", False, (30, 34, 54, 12, 60, 36)),
        ("polygon", False, (32, 66, 50, 88, 58, 64)),
        ("ellipse", False, (4, 26, 78, 74)),
        ("ellipse", True, (16, 41, 23, 48)),
        ("polygon", True, (32, 29, 37, 28, 37, 72, 32, 71)),
        ("polygon", True, (52, 28, 57, 30, 57, 70, 52, 72)),
    ],
}
