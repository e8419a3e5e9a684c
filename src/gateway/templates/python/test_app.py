"""Runs the function to its end in memory: no server, no waiting."""
import unittest

from flowforge.testing import run

from app import take_order


class TakeOrder(unittest.TestCase):
    def test_an_order_is_priced(self) -> None:
        result = run(take_order, {"id": "o1", "item": "pen", "amount": 4})
        self.assertEqual(result.status, "completed")
        self.assertEqual(result.output, {"order": "o1", "due": 10.0})
        self.assertEqual(result.steps["price"], 10.0)


if __name__ == "__main__":
    unittest.main()
