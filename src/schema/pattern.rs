//! Regular expressions of JSON Schema (ECMA-262 with the flag `u`), matched in bounded time.
//!
//! A pattern becomes a small program, and the matcher remembers where it has been: no state of the program is tried
//! twice at one place of the text, so that no pattern takes more than program times text. What that cannot do (back
//! references, looking behind, scripts of Unicode) makes the pattern unknown, and the caller lets it pass.

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    program: Vec<Op>,
}

/// Most instructions of a program; `a{1000}` takes a thousand.
const MAX_PROGRAM: usize = 20_000;
/// Most states of one match: instructions times characters.
const MAX_STATES: usize = 32_000_000;
/// The same for patterns that look ahead, times the characters once more.
const MAX_LOOKS: usize = 400_000_000;
/// Deepest nesting of groups.
const MAX_DEPTH: usize = 60;

#[derive(Clone, Debug)]
enum Op {
    One(Set),
    /// Both ways; the first is tried first.
    Split(usize, usize),
    Jump(usize),
    Start,
    End,
    Boundary(bool),
    /// What follows has to match, or must not; its program ends before the second number, where it goes on.
    Ahead(bool, usize),
    Match,
}

#[derive(Clone, Debug, Default)]
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
    /// Classes, and whether they are negated.
    classes: Vec<(Class, bool)>,
}

#[derive(Clone, Copy, Debug)]
enum Class {
    Digit,
    Word,
    Space,
    Letter,
    Upper,
    Lower,
    Number,
    Any,
}

impl Class {
    fn has(self, c: char) -> bool {
        match self {
            Class::Digit => c.is_ascii_digit(),
            Class::Word => is_word(c),
            Class::Space => c.is_whitespace() || c == '\u{FEFF}',
            Class::Letter => c.is_alphabetic(),
            Class::Upper => c.is_uppercase(),
            Class::Lower => c.is_lowercase(),
            Class::Number => c.is_numeric(),
            Class::Any => true,
        }
    }

    /// The class of a Unicode property, if it is one that we know.
    fn of_property(name: &str) -> Option<Class> {
        let name = name.strip_prefix("General_Category=").or_else(|| name.strip_prefix("gc=")).unwrap_or(name);
        Some(match name {
            "L" | "Letter" | "Alphabetic" | "Alpha" => Class::Letter,
            "Lu" | "Uppercase_Letter" | "Uppercase" => Class::Upper,
            "Ll" | "Lowercase_Letter" | "Lowercase" => Class::Lower,
            "N" | "Number" | "Nd" | "Decimal_Number" | "digit" => Class::Number,
            "White_Space" | "space" => Class::Space,
            "Any" => Class::Any,
            _ => return None,
        })
    }
}

impl Set {
    fn has(&self, c: char) -> bool {
        let inside = self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
            || self.classes.iter().any(|(class, negated)| class.has(c) != *negated);
        inside != self.negated
    }

    fn of(c: char) -> Set {
        Set { ranges: vec![(c, c)], ..Set::default() }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl Pattern {
    /// Compiles a pattern; `None` when it is none, or uses what we do not know.
    pub fn new(source: &str) -> Option<Pattern> {
        let mut parser = Parser { rest: source, program: Vec::new(), depth: 0 };
        parser.alternatives()?;
        if !parser.rest.is_empty() {
            return None;
        }
        parser.push(Op::Match)?;
        Some(Pattern { program: parser.program })
    }

    /// Whether the pattern is found anywhere in the text; `None` for a text too long for it.
    pub fn is_in(&self, text: &str) -> Option<bool> {
        let text: Vec<char> = text.chars().collect();
        let states = self.program.len().checked_mul(text.len() + 1).filter(|states| *states <= MAX_STATES)?;
        // Looking ahead may scan the rest of the text from each place.
        if self.program.iter().any(|op| matches!(op, Op::Ahead(..))) && states.checked_mul(text.len())? > MAX_LOOKS {
            return None;
        }
        let mut seen = Seen::new(self.program.len(), text.len() + 1);
        Some((0..=text.len()).any(|start| self.run(0, start, &text, &mut seen)))
    }

    /// The most states that a match in that text takes.
    pub fn cost(&self, text: &str) -> u64 {
        (self.program.len() as u64).saturating_mul(text.len() as u64 + 1).min(MAX_STATES as u64)
    }

    fn run(&self, start: usize, from: usize, text: &[char], seen: &mut Seen) -> bool {
        let mut todo = vec![(start, from)];
        while let Some((mut at, mut place)) = todo.pop() {
            while seen.is_new(at, place) {
                match &self.program[at] {
                    Op::Match => return true,
                    Op::One(set) if text.get(place).is_some_and(|c| set.has(*c)) => (at, place) = (at + 1, place + 1),
                    Op::Split(first, second) => {
                        todo.push((*second, place));
                        at = *first;
                    }
                    Op::Jump(to) => at = *to,
                    Op::Start if place == 0 => at += 1,
                    Op::End if place == text.len() => at += 1,
                    Op::Boundary(wanted) if is_boundary(text, place) == *wanted => at += 1,
                    Op::Ahead(wanted, after) => {
                        let mut inner = Seen::new(self.program.len(), text.len() + 1);
                        if self.run(at + 1, place, text, &mut inner) != *wanted {
                            break;
                        }
                        at = *after;
                    }
                    Op::One(_) | Op::Start | Op::End | Op::Boundary(_) => break,
                }
            }
        }
        false
    }
}

fn is_boundary(text: &[char], place: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|c| is_word(*c));
    word(place.checked_sub(1)) != word(Some(place))
}

/// The states that were tried, a bit each.
struct Seen {
    bits: Vec<u64>,
    width: usize,
}

impl Seen {
    fn new(program: usize, places: usize) -> Seen {
        Seen { bits: vec![0; (program * places).div_ceil(64)], width: places }
    }

    fn is_new(&mut self, at: usize, place: usize) -> bool {
        let bit = at * self.width + place;
        let word = &mut self.bits[bit / 64];
        let new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        new
    }
}

struct Parser<'a> {
    rest: &'a str,
    program: Vec<Op>,
    depth: usize,
}

impl Parser<'_> {
    fn push(&mut self, op: Op) -> Option<usize> {
        if self.program.len() >= MAX_PROGRAM {
            return None;
        }
        self.program.push(op);
        Some(self.program.len() - 1)
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn alternatives(&mut self) -> Option<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut exits = Vec::new();
        loop {
            let start = self.program.len();
            self.sequence()?;
            if !self.eat("|") {
                break;
            }
            insert(&mut self.program, start, Op::Split(0, 0))?;
            exits.push(self.push(Op::Jump(0))?);
            self.program[start] = Op::Split(start + 1, self.program.len());
        }
        let end = self.program.len();
        for exit in exits {
            self.program[exit] = Op::Jump(end);
        }
        self.depth -= 1;
        Some(())
    }

    fn sequence(&mut self) -> Option<()> {
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let start = self.program.len();
            if self.atom()? {
                self.quantifier(start)?;
            }
        }
        Some(())
    }

    /// Reads one atom; false for an assertion, which cannot be repeated.
    fn atom(&mut self) -> Option<bool> {
        let op = match self.next()? {
            '^' => Op::Start,
            '$' => Op::End,
            '(' => return self.group(),
            '.' => {
                let ends = ['\n', '\r', '\u{2028}', '\u{2029}'].map(|c| (c, c));
                Op::One(Set { negated: true, ranges: ends.to_vec(), classes: Vec::new() })
            }
            '[' => Op::One(self.set()?),
            '\\' if self.eat("b") => Op::Boundary(true),
            '\\' if self.eat("B") => Op::Boundary(false),
            '\\' => Op::One(self.escape()?),
            '*' | '+' | '?' => return None,
            c => Op::One(Set::of(c)),
        };
        let repeats = matches!(op, Op::One(_));
        self.push(op)?;
        Some(repeats)
    }

    fn group(&mut self) -> Option<bool> {
        let ahead = if self.eat("?=") {
            Some(true)
        } else if self.eat("?!") {
            Some(false)
        } else {
            None
        };
        if let Some(wanted) = ahead {
            let place = self.push(Op::Ahead(wanted, 0))?;
            self.alternatives()?;
            self.push(Op::Match)?;
            self.program[place] = Op::Ahead(wanted, self.program.len());
            return self.eat(")").then_some(false);
        }
        if self.eat("?<") {
            if self.rest.starts_with(['=', '!']) {
                return None;
            }
            self.rest = self.rest.split_once('>')?.1;
        } else if self.rest.starts_with('?') && !self.eat("?:") {
            return None;
        }
        self.alternatives()?;
        self.eat(")").then_some(true)
    }

    fn quantifier(&mut self, start: usize) -> Option<()> {
        let (least, most) = if self.eat("*") {
            (0, None)
        } else if self.eat("+") {
            (1, None)
        } else if self.eat("?") {
            (0, Some(1))
        } else if self.eat("{") {
            let (inside, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            let (least, most) = inside
                .split_once(',')
                .map_or((inside, Some(inside)), |(least, most)| (least, (!most.is_empty()).then_some(most)));
            let least = least.parse::<usize>().ok()?;
            (least, most.map(str::parse::<usize>).transpose().ok()?)
        } else {
            return Some(());
        };
        // Lazy or not, the pattern is found or it is not.
        self.eat("?");
        if most.is_some_and(|most| most < least) {
            return None;
        }
        let body: Vec<Op> = self.program.drain(start..).collect();
        for _ in 0..least {
            self.copy(&body, start)?;
        }
        match most {
            None => {
                let split = self.push(Op::Split(0, 0))?;
                self.copy(&body, start)?;
                self.push(Op::Jump(split))?;
                self.program[split] = Op::Split(split + 1, self.program.len());
            }
            Some(most) => {
                let mut exits = Vec::new();
                for _ in least..most {
                    exits.push(self.push(Op::Split(0, 0))?);
                    self.copy(&body, start)?;
                }
                let end = self.program.len();
                for exit in exits {
                    self.program[exit] = Op::Split(exit + 1, end);
                }
            }
        }
        Some(())
    }

    /// Appends a copy of instructions that stood at `from`.
    fn copy(&mut self, body: &[Op], from: usize) -> Option<()> {
        let by = self.program.len() - from;
        for op in body {
            self.push(moved(op, from, by))?;
        }
        Some(())
    }

    fn set(&mut self) -> Option<Set> {
        let mut set = Set { negated: self.eat("^"), ..Set::default() };
        while !self.eat("]") {
            let low = match self.member(&mut set)? {
                Some(low) => low,
                None => continue,
            };
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.eat("-");
                // A class has no place in a range.
                let high = self.member(&mut set)??;
                if high < low {
                    return None;
                }
                set.ranges.push((low, high));
            } else {
                set.ranges.push((low, low));
            }
        }
        Some(set)
    }

    /// One member of a set: a character, or a class that is added to the set at once.
    fn member(&mut self, set: &mut Set) -> Option<Option<char>> {
        match self.next()? {
            '\\' if self.eat("b") => Some(Some('\u{8}')),
            '\\' if self.eat("-") => Some(Some('-')),
            '\\' => {
                let escaped = self.escape()?;
                match escaped.ranges.first() {
                    Some((c, _)) => Some(Some(*c)),
                    None => {
                        set.classes.extend(escaped.classes);
                        Some(None)
                    }
                }
            }
            c => Some(Some(c)),
        }
    }

    /// What follows a backslash: one character, or one class.
    fn escape(&mut self) -> Option<Set> {
        let class = |class: Class, negated: bool| Some(Set { classes: vec![(class, negated)], ..Set::default() });
        let c = match self.next()? {
            'd' => return class(Class::Digit, false),
            'D' => return class(Class::Digit, true),
            'w' => return class(Class::Word, false),
            'W' => return class(Class::Word, true),
            's' => return class(Class::Space, false),
            'S' => return class(Class::Space, true),
            sign @ ('p' | 'P') => {
                let (name, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
                self.rest = rest;
                return class(Class::of_property(name)?, sign == 'P');
            }
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{B}',
            'f' => '\u{C}',
            '0' if !self.rest.starts_with(|c: char| c.is_ascii_digit()) => '\0',
            'c' => char::from_u32(self.next().filter(char::is_ascii_alphabetic)? as u32 % 32)?,
            'x' => self.hex(2)?,
            'u' if self.eat("{") => {
                let (digits, rest) = self.rest.split_once('}')?;
                self.rest = rest;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            'u' => self.hex(4)?,
            // Many patterns escape more than they need to; a letter or digit that means nothing may mean something.
            c if !c.is_ascii_alphanumeric() => c,
            _ => return None,
        };
        Some(Set::of(c))
    }

    fn hex(&mut self, digits: usize) -> Option<char> {
        let code = u32::from_str_radix(self.rest.get(..digits)?, 16).ok()?;
        self.rest = &self.rest[digits..];
        match code {
            0xD800..=0xDBFF if self.eat("\\u") => {
                let low =
                    u32::from_str_radix(self.rest.get(..4)?, 16).ok().filter(|low| (0xDC00..0xE000).contains(low))?;
                self.rest = &self.rest[4..];
                char::from_u32(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
            }
            code => char::from_u32(code),
        }
    }
}

/// The instruction for `by` places further on, where it refers to what is at `from` or later.
fn moved(op: &Op, from: usize, by: usize) -> Op {
    let place = |to: usize| if to >= from { to + by } else { to };
    match op {
        Op::Split(first, second) => Op::Split(place(*first), place(*second)),
        Op::Jump(to) => Op::Jump(place(*to)),
        Op::Ahead(wanted, after) => Op::Ahead(*wanted, place(*after)),
        other => other.clone(),
    }
}

/// Puts an instruction before what stands at `at`.
fn insert(program: &mut Vec<Op>, at: usize, op: Op) -> Option<()> {
    if program.len() >= MAX_PROGRAM {
        return None;
    }
    let tail: Vec<Op> = program.drain(at..).collect();
    program.push(op);
    program.extend(tail.iter().map(|op| moved(op, at, 1)));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap_or_else(|| panic!("{pattern}")).is_in(text).unwrap()
    }

    #[test]
    fn finds_what_a_browser_finds() {
        for (pattern, yes, no) in [
            ("^a*$", "aaa", "ab"),
            ("a+", "xxaay", "b"),
            ("^(foo|bar|)$", "", "foobar"),
            ("^[a-z0-9]+(-[a-z0-9]+)*$", "a-b2-c", "a--b"),
            (r"^\d{3,5}$", "1234", "123456"),
            (r"^\d{4}-\d{2}-\d{2}$", "2026-07-28", "2026-7-28"),
            (r"^(?:[01]\d|2[0-3]):[0-5]\d$", "23:59", "24:00"),
            (r"^(?=.*\d)(?=.*[a-z]).{4,}$", "abc1", "abcd"),
            (r"^(?!admin$)\w+$", "root", "admin"),
            (r"^[^\s@]+@[^\s@]+\.[^\s@]+$", "a@b.co", "a b@c.d"),
            (r"\bcat\b", "a cat!", "concat"),
            (r"^\p{Letter}+$", "Πλάτων", "a1"),
            (r"^[\w.\-]+$", "a.b-c", "a/b"),
            (r"^\u{1F600}$", "😀", "😁"),
            (r"^\uD83D\uDE00$", "😀", "a"),
            ("^.$", "😀", "ab"),
            ("^(a|b){2}c?$", "bac", "abcc"),
            (r"^(?<year>\d+)$", "12", "x"),
            ("(a|ab)(c|bcd)(d*)$", "abcd", "ae"),
            (r"^https?:\/\/", "https://x", "ftp://x"),
            ("^a{0,2}?$", "aa", "aaa"),
        ] {
            assert!(found(pattern, yes), "{pattern} in {yes}");
            assert!(!found(pattern, no), "{pattern} not in {no}");
        }
    }

    #[test]
    fn what_it_cannot_do_is_unknown() {
        for pattern in [
            r"(a)\1",
            "(?<=a)b",
            "(?<!a)b",
            r"\p{Script=Greek}",
            "a**",
            "(",
            "[",
            "a{2,1}",
            r"\q",
            "(?i)a",
            "a)",
            "a{9999999}",
        ] {
            assert!(Pattern::new(pattern).is_none(), "{pattern}");
        }
        assert!(Pattern::new(&"(".repeat(1000)).is_none());
        assert!(Pattern::new("((a{100}){100}){100}").is_none());
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let text = "a".repeat(5_000) + "!";
        for pattern in ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){12}$", "(x+x+)+y", "^(a*)*$"] {
            assert!(!found(pattern, &text), "{pattern}");
        }
        let ahead = "^(?=(a+)+$)a";
        assert!(!found(ahead, &text[4_000..]));
        assert_eq!(Pattern::new(ahead).unwrap().is_in(&"a".repeat(100_000)), None);
        assert_eq!(Pattern::new("(a{100}){100}").unwrap().is_in(&"a".repeat(100_000)), None);
    }
}
