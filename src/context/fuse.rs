//! Puts several rankings of the same things together: reciprocal rank fusion.

/// How much the first ranks are worth above the later ones; small: much.
const K: f32 = 10.0;

/// What a ranking found: things by number, the best first, each once.
pub struct Ranking<'a> {
    /// How much this ranking counts beside the others.
    pub weight: f32,
    /// The things that it found.
    pub order: &'a [u32],
}

/// The things that any of the rankings found, with their scores from 1 (first in all) down to above 0, the best first.
/// Equal scores stand in the order of the numbers.
pub fn fuse(rankings: &[Ranking<'_>]) -> Vec<(u32, f32)> {
    let most: f32 = rankings.iter().map(|ranking| ranking.weight / (K + 1.0)).sum();
    let mut all: Vec<(u32, f32)> = Vec::new();
    for ranking in rankings {
        for (rank, thing) in ranking.order.iter().enumerate() {
            all.push((*thing, ranking.weight / (K + 1.0 + rank as f32) / most));
        }
    }
    all.sort_by_key(|(thing, _)| *thing);
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    all.sort_by(|one, two| two.1.total_cmp(&one.1));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rankings: &[(f32, &[u32])]) -> Vec<u32> {
        let rankings: Vec<Ranking<'_>> =
            rankings.iter().map(|(weight, order)| Ranking { weight: *weight, order }).collect();
        fuse(&rankings).into_iter().map(|(thing, _)| thing).collect()
    }

    #[test]
    fn what_several_find_comes_first() {
        assert_eq!(order(&[(1.0, &[1, 2, 3]), (1.0, &[4, 2, 5])]), [2, 1, 4, 3, 5]);
        assert_eq!(order(&[(1.0, &[1, 2]), (3.0, &[2, 1])]), [2, 1]);
        assert!(order(&[]).is_empty());
        let best = fuse(&[Ranking { weight: 2.0, order: &[7] }, Ranking { weight: 0.5, order: &[7] }]);
        assert!((best[0].1 - 1.0).abs() < 1e-6);
    }
}
