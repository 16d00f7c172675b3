//! Prints the bits of security of openings, size by size.

#![expect(clippy::print_stdout, reason = "that is what it is for")]

fn main() {
    let (min, max) = inferium_zk::adversary::variables();
    for variables in min..=max {
        let plain = inferium_zk::adversary::opening_bits(variables);
        println!("{variables} variables: plain {plain:?}, hiding {:?}", inferium_zk::adversary::hiding_bits(variables));
    }
}
