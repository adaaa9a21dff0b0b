# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a unittest module and says of each, on standard output, when it starts and how it ended.

    unittest_driver.py MODULE [--skip NAME]...

Lines are `@@ start NAME`, `@@ ok NAME`, `@@ skip NAME reason`, `@@ not-ok NAME reason` and, last, `@@ end`. NAME is CLASS.TEST. What the tests
print themselves goes to standard error.
"""

import os
import sys
import unittest

out = os.dup(1)
os.dup2(2, 1)


def say(what, test="", reason=""):
    name = ".".join(test.id().split(".")[-2:]) if test else ""
    reason = " ".join(str(reason).split())[-250:]
    os.write(out, f"\n@@ {what} {name} {reason}".rstrip().encode("utf-8", "replace") + b"\n")


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.verdict = ("ok", "")
        say("start", test)

    def stopTest(self, test):
        super().stopTest(test)
        say(self.verdict[0], test, self.verdict[1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.verdict = ("skip", reason)

    def failed(self, test, err):
        kind, value, trace = err
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f" (line {trace.tb_lineno})" if trace else ""
        self.verdict = ("not-ok", f"{kind.__name__}: {value}{place}")
        if not isinstance(test, unittest.TestCase):
            say("not-ok", test, self.verdict[1])

    def addError(self, test, err):
        super().addError(test, err)
        self.failed(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed(test, err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.verdict = ("not-ok", "passes unexpectedly")


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main():
    module, skipped = sys.argv[1], set(sys.argv[3::2])
    loaded = unittest.defaultTestLoader.loadTestsFromName(module)
    chosen = [t for t in flatten(loaded) if ".".join(t.id().split(".")[-2:]) not in skipped]
    # The modules ask for their own name in __main__ and for a clean command line.
    sys.argv = [sys.argv[0]]
    unittest.TestSuite(chosen).run(Result())
    say("end")


if __name__ == "__main__":
    main()
