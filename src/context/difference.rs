//! What is different between two versions of a text, short enough to be told to a model.

/// Most lines of each side that are told.
const MOST_LINES: usize = 40;

/// Longest line that is told, in characters.
const MOST_CHARS: usize = 400;

/// The lines that went (`- `) and came (`+ `) between the first and the last line that differ; empty for equal texts. What is
/// left out is said. Linear in the texts.
pub fn difference(before: &str, after: &str) -> String {
    let old: Vec<&str> = before.lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let start = old.iter().zip(&new).take_while(|(one, two)| one == two).count();
    let most = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(one, two)| one == two).count();
    let mut told = String::new();
    for (sign, lines) in [("- ", &old[start..old.len() - end]), ("+ ", &new[start..new.len() - end])] {
        for line in lines.iter().take(MOST_LINES) {
            told.push_str(sign);
            told.extend(line.chars().take(MOST_CHARS));
            told.push('\n');
        }
        if lines.len() > MOST_LINES {
            told.push_str(&[sign, "... and ", &(lines.len() - MOST_LINES).to_string(), " more lines\n"].concat());
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        assert_eq!(difference("a\nb\nc", "a\nx\ny\nc"), "- b\n+ x\n+ y\n");
        assert_eq!(difference("a\nb", "a\nb"), "");
        assert_eq!(difference("", "new"), "+ new\n");
        assert_eq!(difference("a\na\na", "a\na"), "- a\n");
        assert_eq!(difference("gone", ""), "- gone\n");
    }

    #[test]
    fn a_long_difference_is_cut_and_says_so() {
        let long: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let told = difference("", &long);
        assert!(told.ends_with("+ ... and 60 more lines\n"), "{told}");
        assert!(difference("", &"x".repeat(9000)).len() < 500);
    }
}
