"""The obvious classifier: one matrix of all scores, all gradients by autograd. The oracle of every other one."""

from torch import Tensor, dtype

from opensphere import sphere
from opensphere.classifier.classifier import Classifier
from opensphere.model.head.head import NEVER, Rows


class PlainClassifier(Classifier):
    """Every class in memory, every score at once: (B, C) numbers several times over. Arguments as `Classifier`."""

    def open(self, labels: Tensor, dtype: dtype) -> tuple[Tensor, Tensor | None, Tensor]:
        if self.head.space == "cosine" and self.head.normalise == "in_place":
            self.w.data.copy_(sphere.unit(self.w.data, dim=0))  # .data: an earlier forward may still await its backward
        centers = self.w.to(dtype).mT
        if self.head.space == "cosine" and self.head.normalise == "in_graph":
            centers = sphere.unit(centers)
        own = centers.unflatten(0, (self.num_class, self.head.centers))[labels]
        return own, None if self.b is None else self.b[0, labels], centers

    def negatives(self, u: Tensor, handle: Tensor, labels: Tensor, rows: Rows) -> Tensor:
        cos = (u @ handle.mT).unflatten(1, (self.num_class, self.head.centers)).max(2).values  # (B, C)
        if self.b is not None:
            cos = cos + self.b
        columns = rows.beside(1)
        score = self.score(cos, self.head.others(cos, columns))
        z = rows.scale.unsqueeze(1) * score + rows.bias.unsqueeze(1)
        own = labels.unsqueeze(1)
        if self.head.reduce == "logsumexp":
            return z.scatter(1, own, NEVER).logsumexp(1)
        return (columns.weight * self.head.negative(z, columns).scatter(1, own, 0.0)).sum()
