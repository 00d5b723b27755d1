"""Runs a little of what calls will run, so that a call finds caches filled and lazy imports done."""

import sys

_SNIPPETS = {
    "ast": "import ast\ncompile(ast.parse('1'), 'warm', 'exec')",
    "traceback": "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError as e: ''.join(traceback.format_exception(e))",
    "numpy": "import numpy\nnumpy.linalg.det(numpy.eye(3) + 1); str(numpy.arange(3) / 7)",
    "numpy.random": "import numpy\nnumpy.random.default_rng(0).normal(size=3)",
    "mpmath": "import mpmath\nstr(mpmath.mp.quad(lambda x: x, [0, 1]))",
    "sympy": """from sympy import *
x, y = symbols('x y')
str(solve(x**3 - 6*x**2 + 11*x - 6, x)), solve([x + y - 3, x - y - 1]), factor(x**2 - 1), latex(x / 2)
simplify(sin(x)**2 + cos(x)**2), integrate(x * exp(x), x), diff(x**3), limit(sin(x)/x, x, 0), sympify('x + 1')
factorint(360), Matrix([[1, 2], [3, 4]]).inv(), N(sqrt(2)), solve(x**2 - 2)
for n in range(12):  # the interpreter specialises what runs again; whole roots are found soonest
    solve(x**2 - n * x - n - 1, x)""",
    "scipy.optimize": "from scipy.optimize import brentq, minimize\nbrentq(lambda x: x, -1, 1), minimize(lambda x: x @ x, [1.0])",
    "scipy.integrate": "from scipy.integrate import quad\nquad(lambda x: x, 0, 1)",
    "scipy.stats": "from scipy.stats import norm\nnorm.cdf(1)",
}
"""By the module that must be loaded for it."""


def warm() -> None:
    """Run the snippets of the modules that are loaded."""
    for name, snippet in _SNIPPETS.items():
        if name in sys.modules:
            exec(snippet, {})
