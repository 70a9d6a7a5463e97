//! Which lines of two texts are the same ones, in time and memory that their lengths bound.
//!
//! Lines that both texts have once are the same ones as far as they are in the same order (patience sorting); what is between
//! two of them is small, and is compared line with line.

/// So many pairs of lines are compared at once at most, and so many times that in all.
const MOST_PAIRS: usize = 1_000_000;
const MOST_TABLES: usize = 16;

/// How often what is between two lines may be cut again at lines that are there once.
const MOST_CUTS: u32 = 12;

/// A place at which the texts differ: so many lines from here went, so many came instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) old: usize,
    pub(super) new: usize,
    pub(super) gone: usize,
    pub(super) came: usize,
}

/// Compares two lists of lines, where equal numbers are equal lines. Texts that have no line in common but in great numbers are
/// taken for two texts.
pub(super) fn hunks(old: &[u32], new: &[u32]) -> Vec<Hunk> {
    let mut same = Vec::new();
    Aligner { same: &mut same, tables: MOST_TABLES }.align((old, 0), (new, 0), MOST_CUTS);
    same.push((old.len(), new.len()));
    let mut hunks = Vec::new();
    let (mut from, mut to) = (0, 0);
    for (one, two) in same {
        if one > from || two > to {
            hunks.push(Hunk { old: from, new: to, gone: one - from, came: two - to });
        }
        (from, to) = (one + 1, two + 1);
    }
    hunks
}

struct Aligner<'a> {
    /// Places of equal lines, in order.
    same: &'a mut Vec<(usize, usize)>,
    /// How many tables may still be made.
    tables: usize,
}

/// Some lines, and the place of the first of them.
type Part<'a> = (&'a [u32], usize);

impl Aligner<'_> {
    fn align(&mut self, (old, from): Part<'_>, (new, to): Part<'_>, cuts: u32) {
        let start = old.iter().zip(new).take_while(|(one, two)| one == two).count();
        self.same.extend((0..start).map(|place| (from + place, to + place)));
        let (old, new, from, to) = (&old[start..], &new[start..], from + start, to + start);
        let end = old.iter().rev().zip(new.iter().rev()).take_while(|(one, two)| one == two).count();
        let (one, two) = (&old[..old.len() - end], &new[..new.len() - end]);
        if one.len().saturating_mul(two.len()) <= MOST_PAIRS {
            if !one.is_empty() && !two.is_empty() && self.tables > 0 {
                self.tables -= usize::from(one.len() * two.len() > MOST_PAIRS / 64);
                self.compare((one, from), (two, to));
            }
        } else if cuts > 0 {
            let (mut left, mut right) = (0, 0);
            for (here, there) in anchors(one, two) {
                self.align((&one[left..here], from + left), (&two[right..there], to + right), cuts - 1);
                self.same.push((from + here, to + there));
                (left, right) = (here + 1, there + 1);
            }
            if left > 0 {
                self.align((&one[left..], from + left), (&two[right..], to + right), cuts - 1);
            }
        }
        self.same.extend((0..end).map(|place| (from + one.len() + place, to + two.len() + place)));
    }

    /// The longest list of lines that both have.
    fn compare(&mut self, (old, from): Part<'_>, (new, to): Part<'_>) {
        // How many lines both have from there on.
        let width = new.len() + 1;
        let mut common = vec![0u32; (old.len() + 1) * width];
        for one in (0..old.len()).rev() {
            for two in (0..new.len()).rev() {
                common[one * width + two] = if old[one] == new[two] {
                    common[(one + 1) * width + two + 1] + 1
                } else {
                    common[(one + 1) * width + two].max(common[one * width + two + 1])
                };
            }
        }
        let (mut one, mut two) = (0, 0);
        while one < old.len() && two < new.len() {
            if old[one] == new[two] {
                self.same.push((from + one, to + two));
                (one, two) = (one + 1, two + 1);
            } else if common[(one + 1) * width + two] >= common[one * width + two + 1] {
                one += 1;
            } else {
                two += 1;
            }
        }
    }
}

/// Places of lines that both have once: the longest list of them that is in order in both.
fn anchors(old: &[u32], new: &[u32]) -> Vec<(usize, usize)> {
    let once = |lines: &[u32]| {
        let mut places: Vec<(u32, usize)> = lines.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let alone = |at: &usize| {
            let is = |other: Option<&(u32, usize)>| other.is_some_and(|other| other.0 == places[*at].0);
            !is(at.checked_sub(1).and_then(|before| places.get(before))) && !is(places.get(at + 1))
        };
        (0..places.len()).filter(alone).map(|at| places[at]).collect::<Vec<_>>()
    };
    let there = once(new);
    let pair = |(line, here): (u32, usize)| {
        let at = there.binary_search_by_key(&line, |(line, _)| *line).ok()?;
        Some((here, there[at].1))
    };
    let mut pairs: Vec<(usize, usize)> = once(old).into_iter().filter_map(pair).collect();
    pairs.sort_unstable();
    // For each length, the pair with the smallest end of a list that long, and before each pair the one that it follows.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::new();
    for (at, (_, there)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *there);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut chain = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(place) = at {
        chain.push(pairs[place]);
        at = before[place];
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The new text, made of the old one by what is said of both.
    fn made(old: &[u32], new: &[u32]) -> Vec<u32> {
        let (mut made, mut place) = (Vec::new(), 0);
        for Hunk { old: from, new: to, gone, came } in hunks(old, new) {
            made.extend_from_slice(&old[place..from]);
            made.extend_from_slice(&new[to..to + came]);
            place = from + gone;
        }
        made.extend_from_slice(&old[place..]);
        made
    }

    fn changed(old: &[u32], new: &[u32]) -> usize {
        hunks(old, new).iter().map(|hunk| hunk.gone + hunk.came).sum()
    }

    #[test]
    fn what_is_said_makes_the_new_text_of_the_old_one() {
        let mut state = 7u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..400 {
            let (length, words) = if round < 380 { (12, 5) } else { (3_000, 900) };
            let text = |next: &mut dyn FnMut(u64) -> u64| -> Vec<u32> {
                (0..next(length)).map(|_| next(words) as u32).collect()
            };
            let (old, new) = (text(&mut next), text(&mut next));
            assert_eq!(made(&old, &new), new, "round {round}");
        }
    }

    #[test]
    fn few_changes_of_a_long_text_are_found_wherever_they_are() {
        // Half of the lines are there many times, such as empty ones.
        let old: Vec<u32> = (0..50_000).map(|line| if line % 2 == 0 { 0 } else { line }).collect();
        let mut new = old.clone();
        new[0] = 99_999;
        new[49_999] = 99_998;
        new.drain(20_000..20_010);
        new.insert(30_000, 99_997);
        assert_eq!((made(&old, &new) == new, changed(&old, &new)), (true, 15));
        // A part that moved went in one place and came in another.
        let mut moved = old.clone();
        let part: Vec<u32> = moved.drain(100..200).collect();
        moved.extend(part);
        assert_eq!((made(&old, &moved) == moved, changed(&old, &moved)), (true, 200));
    }

    #[test]
    fn what_has_nothing_in_common_is_another_text() {
        let (old, new): (Vec<u32>, Vec<u32>) = ((0..50_000).collect(), (50_000..99_000).collect());
        assert_eq!(hunks(&old, &new), [Hunk { old: 0, new: 0, gone: 50_000, came: 49_000 }]);
        // The same few lines over and over: nothing to hold on to, and no end of pairs.
        let (old, new): (Vec<u32>, Vec<u32>) =
            ((0..40_000).map(|line| line % 3).collect(), (0..40_000).map(|line| line % 5).collect());
        assert_eq!(made(&old, &new), new);
        assert_eq!((hunks(&[], &[]), hunks(&[1], &[1])), (vec![], vec![]));
    }
}
