"""Makes the renditions of a picture. Runs in a child process, so it imports Pillow and nothing of Django."""

import base64
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image, ImageOps

from api.pictures.sizes import size_at


def render(source: BinaryIO, *rest: Any) -> dict[str, Any]:
    *outputs, image_format, max_pixels, kinds = rest
    with Image.open(source, formats=[image_format]) as image:
        turned = ImageOps.exif_transpose(image).convert("RGB")
    sizes: list[Any] = []
    before = 0
    for output, (width, kind) in zip(outputs, kinds, strict=True):
        size = size_at(*turned.size, width)
        if kind == "WEBP" and size[0] <= before:
            sizes.append(None)
            continue
        before = size[0]
        turned.resize(size).save(output, kind)
        output.flush()
        sizes.append({"width": size[0], "height": size[1]})
    tiny = BytesIO()
    turned.resize((8, 8)).save(tiny, "WEBP", quality=10)
    placeholder = "data:image/webp;base64," + base64.b64encode(tiny.getvalue()).decode()
    return {"width": turned.width, "height": turned.height, "placeholder": placeholder, "renditions": sizes}
