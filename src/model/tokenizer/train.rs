//! Training a vocabulary of CLIP's form.

use super::text::{Part, for_each_word, normalize, split_specials};
use super::{BOS, EOS, WORD_END, byte_symbols};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// Learns a vocabulary of CLIP's form from `corpus`: 256 byte symbols, the same 256 ending a word, up to `merges` merged
/// symbols, and the two special tokens; the contents of `vocab.json` and `merges.txt`.
///
/// Each merge joins the most frequent adjacent pair; among equals the one whose left, then right symbol is oldest, so the
/// result depends on the corpus alone. It ends early when no pair occurs twice. Each merge walks over all distinct words.
pub fn train_bpe<'a>(corpus: impl Iterator<Item = &'a str>, merges: usize) -> (String, String) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in corpus {
        for part in split_specials(text) {
            if let Part::Text(text) = part {
                for_each_word(&normalize(text), |word| match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => _ = counts.insert(word.to_owned(), 1),
                });
            }
        }
    }

    let bytes = byte_symbols();
    // Symbols are listed in the order of their characters, which differs from the order of the bytes they stand for.
    let mut order: Vec<u8> = (0..=255).collect();
    order.sort_by_key(|&byte| bytes[usize::from(byte)]);
    let mut place = [0_u32; 256];
    for (&byte, at) in order.iter().zip(0..) {
        place[usize::from(byte)] = at;
    }
    let mut symbols: Vec<String> = order.iter().map(|&byte| bytes[usize::from(byte)].to_string()).collect();
    symbols.extend(order.iter().map(|&byte| format!("{}{WORD_END}", bytes[usize::from(byte)])));
    let mut known: HashMap<String, u32> = symbols.iter().cloned().zip(0..).collect();

    let mut words: Vec<(Vec<u32>, u64)> = counts
        .iter()
        .map(|(word, &count)| {
            let mut ids: Vec<u32> = word.bytes().map(|byte| place[usize::from(byte)]).collect();
            if let Some(last) = ids.last_mut() {
                *last += 256;
            }
            (ids, count)
        })
        .collect();

    let mut merges_txt = String::from("#version: 0.2\n");
    for _ in 0..merges {
        let mut pairs: HashMap<(u32, u32), u64> = HashMap::new();
        for (ids, count) in &words {
            for pair in ids.windows(2) {
                *pairs.entry((pair[0], pair[1])).or_default() += count;
            }
        }
        let Some((&(left, right), &count)) = pairs.iter().max_by_key(|&(&pair, &count)| (count, Reverse(pair))) else { break };
        if count < 2 {
            break;
        }
        let (left_text, right_text) = (&symbols[left as usize], &symbols[right as usize]);
        merges_txt.push_str(&format!("{left_text} {right_text}\n"));
        let text = format!("{left_text}{right_text}");
        // Two different pairs can spell the same symbol; it then keeps its one id.
        let union = *known.entry(text).or_insert_with_key(|text| {
            symbols.push(text.clone());
            symbols.len() as u32 - 1
        });
        for (ids, _) in &mut words {
            let (mut read, mut write) = (0, 0);
            while read < ids.len() {
                let joins = ids[read] == left && ids.get(read + 1) == Some(&right);
                ids[write] = if joins { union } else { ids[read] };
                read += 1 + usize::from(joins);
                write += 1;
            }
            ids.truncate(write);
        }
    }

    symbols.extend([BOS.to_owned(), EOS.to_owned()]);
    let entries: Vec<String> = symbols.iter().zip(0..).map(|(s, id)| format!("{}: {id}", serde_json::Value::from(s.as_str()))).collect();
    (format!("{{{}}}", entries.join(", ")), merges_txt)
}
