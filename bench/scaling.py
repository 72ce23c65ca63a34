#!/usr/bin/env python3
"""How one search scales over ranks: the model behind the table of docs/cluster.md.

    T(n) = C(B/n) + A(n)                  seconds a step on n ranks that share the recipe's batch B
    T(n) = C(B)   + A(n)                  where each rank has a batch of B, so that the whole is n times the recipe's
    C(b) = h + (S - h) * b / B            computing b samples of each half on a card
    A(n) = 2 (n-1)/n * 8 M / W            what a rank sends: parts of its numbers to all, then its part's sums to all
         + (n > 1) (3 l + 3 (n-1) m)      three rounds of messages: two for the weights, one for alpha
         + (n > 1) c M                    from the card into bytes, added up, and back

S is a step of batch B on one card, h the host's own share of it, M the bytes of weights, running statistics and account, W the
network's bits a second, l its time there and m the host's for a message, c the seconds that ranks take for a byte of theirs.
Every rank has a card and a machine; nothing is computed while numbers travel, and no rank is slower than others.

S and h are measured on one H100 (docs/results.md), M is counted by a search, m and c are measured on loopback (docs/cluster.md);
W and l are the network's: assumed.
"""

import argparse

# Name: S, h, numbers of a message of the weights (at first, when nothing is decided), B, samples of a half, epochs.
SEARCHES = {
    "pictures (cifar10, C 16, 8 cells, 32x32)": (41.5e-3, 3e-3, 1_930_618 + 74_592 + 5, 64, 25_000, 50),
    "clips (UCF101, C 8, 5 cells, 16x112x112)": (214.5e-3, 3e-3, 760_816 + 50_736 + 5, 16, 4_768, 50),
}
MESSAGE = 10e-6
LATENCY = 30e-6
BYTE = 1e-9


def computing(search, batch):
    step, host, _, whole, *_ = SEARCHES[search]
    return host + (step - host) * batch / whole


def travelling(search, ranks, bits):
    if ranks == 1:
        return 0.0
    size = 4 * SEARCHES[search][2]
    rounds = 3 * LATENCY + 3 * (ranks - 1) * MESSAGE
    return 2 * (ranks - 1) / ranks * 8 * size / bits + rounds + BYTE * size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--gigabits", type=float, nargs="+", default=[10, 100])
    given = parser.parse_args()
    for search, (step, _, numbers, batch, samples, epochs) in SEARCHES.items():
        print(f"\n{search}: {4 * numbers / 1e6:.1f} MB a step, {1e3 * step:.1f} ms on one rank\n")
        heads = [f"{what}, {gigabits:g} Gbit/s" for gigabits in given.gigabits for what in ("sums", "shared", "each")]
        print("| ranks | " + " | ".join(heads) + " | steps |")
        print("|---:" * (len(heads) + 2) + "|")
        for ranks in given.ranks:
            cells = []
            for gigabits in given.gigabits:
                sums = travelling(search, ranks, gigabits * 1e9)
                shared = step / (computing(search, batch / ranks) + sums) if ranks <= batch else None
                each = ranks * step / (step + sums)
                cells += [f"{1e3 * sums:.1f} ms", f"{shared:.1f}" if shared else "–", f"{each:.1f}"]
            print(f"| {ranks} | " + " | ".join(cells) + f" | {epochs * (samples // (batch * ranks)):,} |")


if __name__ == "__main__":
    main()
