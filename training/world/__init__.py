"""A synthetic world of coloured shapes, made for training and measuring small networks.

Everything follows from an `Address(split, stream, index)`: the same address gives the same bytes on
every machine, and no two addresses share a random generator.

    address    a sample's split, stream and index
    hue        the eight named colours
    shape      the seven named outlines
    ground     backgrounds: gradients, blends, fine textures
    thing      one shape somewhere, with its light and its colour
    scene      a ground and things on it, drawn as pixels and visible masks
    clip       things that move, hide behind others, leave and return
    edit       one scene in five versions; any ordered pair of them is an edit
    phrase     words for things and for edits
    sheet      contact sheets

Pictures are uint8 shaped (height, width, 3), RGB. Masks are float32 in [0, 1] or bool; 1 is inside.
"""
