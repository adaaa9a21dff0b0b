# SPDX-License-Identifier: Apache-2.0
"""Kepler's third law from a table of planets: for each, period^2 / axis^3 in years^2 / AU^3 is about 1.

Reads the CSV file that is its only argument, prints a line a planet, the largest deviation, and the SHA-256 of the data.
"""

import csv
import hashlib
import sys

DAYS_A_YEAR = 365.25636


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    worst = 0.0
    for row in csv.DictReader(data.decode().splitlines()):
        years = float(row["sidereal_period_days"]) / DAYS_A_YEAR
        ratio = years**2 / float(row["semi_major_axis_au"]) ** 3
        worst = max(worst, abs(ratio - 1))
        print(f"{row['planet']:<8} T^2/a^3 = {ratio:.4f}")
    print(f"largest deviation from Kepler's third law: {worst:.2%}")
    print(f"sha256 of the data: {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
