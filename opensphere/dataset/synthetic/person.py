"""Who a made-up person is: the numbers that stay the same from picture to picture."""

from dataclasses import dataclass

import numpy as np

from opensphere.error import UserError

# Lengths are in face units: the origin lies between the eyes, x grows to the right of the picture, y downwards, z
# towards the camera, and the mouth of the mean face lies 36 units below its eyes.

SKIN = np.array(  # from light to dark, RGB; a person lies anywhere along this line
    [[244, 210, 188], [232, 190, 160], [214, 166, 130], [184, 132, 96], [140, 94, 66], [96, 63, 47]], np.float32
)
HAIR = np.array(  # black, dark brown, brown, light brown, blond, red
    [[24, 20, 19], [48, 33, 26], [82, 56, 38], [118, 84, 54], [180, 146, 96], [128, 62, 34]], np.float32
)
GREY_HAIR = np.array([168, 165, 160], np.float32)
IRIS = np.array(  # dark brown, brown, hazel, green, blue, grey
    [[48, 30, 20], [86, 54, 30], [112, 88, 48], [84, 104, 70], [84, 122, 158], [118, 130, 138]], np.float32
)
# How common each is; dark skin goes with dark hair and eyes more often than not.
_HAIR_OF_LIGHT, _HAIR_OF_DARK = (0.2, 0.25, 0.22, 0.15, 0.11, 0.07), (0.55, 0.3, 0.12, 0.02, 0.005, 0.005)
_IRIS_OF_LIGHT, _IRIS_OF_DARK = (0.2, 0.25, 0.15, 0.12, 0.18, 0.1), (0.6, 0.3, 0.06, 0.02, 0.01, 0.01)

HAIR_STYLES = ("bald", "receding", "buzz", "short", "side", "curly", "afro", "fringe", "bob", "long", "wavy", "back")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class Person:
    """Everything that is fixed for one person. Lengths in face units, colours RGB 0..255, angles in radians."""

    # skull: half widths at four heights, and where crown and chin lie
    temple: float
    cheek: float
    jaw: float
    chin: float
    crown_y: float
    jaw_y: float
    chin_y: float
    # eyes
    eye_x: float
    eye_width: float
    eye_upper: float
    eye_lower: float
    eye_tilt: float
    lid: float
    iris_radius: float
    # brows
    brow_y: float
    brow_inner: float
    brow_length: float
    brow_thickness: float
    brow_tilt: float
    brow_arch: float
    # nose
    nose_y: float
    nose_width: float
    nose_bridge: float
    nose_height: float
    nose_tip: float
    # mouth
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_bow: float
    mouth_curve: float
    # ears and relief (heights above the oval of the head)
    ear_size: float
    ear_out: float
    brow_ridge: float
    cheekbone: float
    chin_relief: float
    socket: float
    # colours
    skin: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    hair: np.ndarray
    brow_colour: np.ndarray
    blush: float
    age: float
    # hair and beard
    hair_style: str
    hairline_y: float
    hair_peak: float
    hair_part: float
    hair_volume: float
    hair_length: float
    hair_wave: float
    beard: str
    beard_length: float
    # marks: rows of x (a share of the head's half width), y, radius, darkness
    marks: np.ndarray
    freckles: np.ndarray
    texture_seed: int

    @property
    def unit(self) -> float:
        """How much larger than the mean face the triangle of eyes and mouth is; aligned crops divide by it."""
        return 0.5 * (self.eye_x / 16.5 + self.mouth_y / 36.0)

    def half_width(self, y: np.ndarray | float) -> np.ndarray:
        """How far the head reaches to each side at the heights `y`."""
        heights = [self.crown_y, -30, -8, 12, self.jaw_y, self.chin_y + 4]
        return np.interp(np.asarray(y), heights, [22, 33, self.temple, self.cheek, self.jaw, self.chin + 6])


def draw_person(seed: int, person: int) -> Person:
    """The person numbered `person` in the world `seed`; the same on every machine with the same NumPy generator.

    Raises:
        UserError: a negative seed or person number.
    """
    rng = generator(seed, 1, person)
    # Deviates are cut at two standard deviations, and shapes spread wider than nature's: faces stay faces and differ.
    n = (1.3 * rng.standard_normal(48).clip(-2, 2)).tolist()
    u = rng.random(24).tolist()
    male = u[0] < 0.5
    sex = (1.0 if male else -1.0) * (0.35 + 0.65 * u[1])  # -1 .. 1: how strongly the common differences show
    age = u[2] ** 1.3
    chin_y = 57.5 + 3.0 * n[0] + 1.3 * sex
    nose_y = 22.5 + 2.5 * n[1] + 0.4 * sex
    mouth_y = 36.0 + 1.0 * n[2] + 0.55 * (nose_y - 22.5) + 0.25 * (chin_y - 57.5)
    cheek = 33.5 + 2.1 * n[4] + 0.5 * sex
    jaw = cheek - min(max(6.4 - 2.6 * n[3] - 0.9 * sex, 2.5), 9.0)
    chin = min(max(12.5 + 2.6 * n[6] + 1.5 * sex, 7.0), jaw - 8.0)
    skin, hair, iris = _colours(rng, age)
    style = _hair_style(rng, male, age)
    beard = BEARDS[int(rng.choice(5, p=[0.45, 0.2, 0.08, 0.1, 0.17]))] if male else "none"
    return Person(
        temple=33.0 + 1.6 * n[5], cheek=cheek, jaw=jaw, chin=chin,
        crown_y=-52.0 + 2.6 * n[7], jaw_y=37.0 + 2.2 * n[8] + 0.6 * sex, chin_y=max(chin_y, mouth_y + 15.5),
        eye_x=16.5 + 1.5 * n[9], eye_width=6.9 + 0.85 * n[10], eye_upper=max(3.4 + 0.75 * n[11] - 0.3 * sex, 1.7),
        eye_lower=2.0 + 0.35 * n[12], eye_tilt=0.06 + 0.1 * n[13] - 0.02 * sex, lid=max(2.3 + 0.8 * n[14], 0.6),
        iris_radius=3.35 + 0.2 * n[15],
        brow_y=-9.6 + 1.9 * n[16] + 0.9 * sex, brow_inner=7.0 + 1.6 * n[17], brow_length=19.5 + 1.6 * n[18],
        brow_thickness=max(2.6 + 0.95 * n[19] + 0.6 * sex, 1.0), brow_tilt=0.03 + 0.11 * n[20] - 0.03 * sex,
        brow_arch=2.0 + 1.1 * n[21] - 0.5 * sex,
        nose_y=nose_y, nose_width=7.4 + 1.35 * n[22] + 0.35 * sex, nose_bridge=3.3 + 0.7 * n[23],
        nose_height=13.0 + 2.6 * n[24] + 0.8 * sex, nose_tip=4.6 + 0.7 * n[25],
        mouth_y=mouth_y, mouth_width=min(12.3 + 1.75 * n[26] + 0.4 * sex, jaw - 7.0),
        lip_upper=max(2.7 + 1.0 * n[27] - 0.3 * sex, 0.9), lip_lower=max(3.6 + 1.1 * n[28] - 0.3 * sex, 1.4),
        lip_bow=max(0.8 + 0.35 * n[29], 0.1), mouth_curve=0.5 + 0.8 * n[30],
        ear_size=10.5 + 1.3 * n[31] + 0.8 * age, ear_out=3.6 + 1.1 * n[32],
        brow_ridge=1.6 + 0.8 * n[33] + 1.2 * sex, cheekbone=2.6 + 1.1 * n[34], chin_relief=4.0 + 1.3 * n[35],
        socket=3.0 + 0.9 * n[36],
        skin=skin, lips=_lips(skin, n[37], sex), iris=iris, hair=hair,
        brow_colour=0.75 * np.minimum(hair, 130) + 0.12 * skin, blush=0.5 + 0.5 * u[3], age=age,
        hair_style=style, hairline_y=-29.0 + 3.0 * n[38], hair_peak=2.0 * n[39], hair_part=0.2 + 0.6 * u[4],
        hair_volume=0.7 + 0.6 * u[5], hair_length=u[6], hair_wave=u[7], beard=beard, beard_length=u[8],
        marks=_marks(rng), freckles=_freckles(rng, skin), texture_seed=int(rng.integers(2**31)),
    )  # fmt: skip


def generator(seed: int, *path: int) -> np.random.Generator:
    """The generator that belongs to `path` in the world `seed`; a path is its own stream whatever was drawn before.

    Raises:
        UserError: a negative number.
    """
    if seed < 0 or min(path) < 0:
        raise UserError(f"seed {seed}, number {path}: the built-in faces are numbered from 0; give no negative number")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *path))))


def _along(anchors: np.ndarray, position: float) -> np.ndarray:
    """The colour at `position` (0 first anchor, 1 last) of the line through `anchors` (N, 3)."""
    place = float(np.clip(position, 0, 1)) * (len(anchors) - 1)
    low = min(int(place), len(anchors) - 2)
    return anchors[low] + (place - low) * (anchors[low + 1] - anchors[low])


def _colours(rng: np.random.Generator, age: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skin, hair and iris."""
    melanin, undertone, shade, grey = rng.random(), rng.standard_normal(), rng.standard_normal(), rng.random()
    skin = _along(SKIN, melanin) * (1 + 0.025 * undertone * np.array([1.0, 0.0, -1.4]))
    hair = HAIR[rng.choice(6, p=_HAIR_OF_LIGHT if melanin < 0.5 else _HAIR_OF_DARK)] * (1 + 0.12 * shade)
    if age > 0.55:
        hair = hair + (GREY_HAIR - hair) * min(1.0, grey * 2.2 * (age - 0.45))
    iris = IRIS[rng.choice(6, p=_IRIS_OF_LIGHT if melanin < 0.5 else _IRIS_OF_DARK)] * (1 + 0.1 * rng.standard_normal())
    return _printable(skin), _printable(hair), _printable(iris)


def _printable(colour: np.ndarray) -> np.ndarray:
    return np.clip(colour, 12, 250).astype(np.float32)


def _lips(skin: np.ndarray, tone: float, sex: float) -> np.ndarray:
    colour = skin * np.array([0.86, 0.66, 0.66]) + np.array([6.0, 0, 2.0]) * tone
    return np.clip(colour - np.array([0, 6, 4]) * (sex < 0), 10, 245)


def _hair_style(rng: np.random.Generator, male: bool, age: float) -> str:
    """One of HAIR_STYLES; men lose their hair with age."""
    loss = 0.3 * age + 0.03
    men = [0.06 + loss, 0.1 + loss, 0.12, 0.22, 0.22, 0.12, 0.05, 0.06, 0.0, 0.03, 0.02, 0.1]
    women = [0.0, 0.0, 0.02, 0.06, 0.08, 0.1, 0.07, 0.14, 0.15, 0.18, 0.14, 0.14]
    weights = np.array(men if male else women)
    return HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=weights / weights.sum()))]


def _marks(rng: np.random.Generator) -> np.ndarray:
    """Moles: none to five, rows as in `Person.marks` (N, 4)."""
    count = int(rng.choice(6, p=[0.35, 0.25, 0.18, 0.12, 0.06, 0.04]))
    places = np.stack([rng.uniform(-0.85, 0.85, count), rng.uniform(-24, 50, count)], 1)
    return np.column_stack([places, rng.uniform(0.55, 1.25, count), rng.uniform(0.35, 0.75, count)])


def _freckles(rng: np.random.Generator, skin: np.ndarray) -> np.ndarray:
    """Freckles across nose and cheeks, on one light skin in four: rows as in `Person.marks` (N, 4)."""
    count = int(rng.integers(25, 80)) if rng.random() < 0.25 and skin[1] > 150 else 0
    places = np.stack([0.4 * rng.standard_normal(count).clip(-2, 2), 11 + 6 * rng.standard_normal(count)], 1)
    return np.column_stack([places, rng.uniform(0.25, 0.6, count), rng.uniform(0.1, 0.25, count)])
