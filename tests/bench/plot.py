# SPDX-License-Identifier: GPL-2.0-or-later
"""Bar charts as SVG, by gnuplot where it is installed."""
import shutil
import subprocess

SCRIPT = """
set terminal svg size 900,{height} font "sans,13" background "white"
set output "{path}"
set title "{title}"
set xlabel "seconds"
set xrange [0:*]
set yrange [-0.7:{last}]
set ytics nomirror out scale 0 ({tics})
set grid xtics lc rgb "#dddddd"
set key below
set style fill solid noborder
plot $rows using 2:1:(0):2:($1-0.3):($1+0.3) with boxxyerror \\
         lc rgb "#4477aa" title "measured", \\
     $rows using 3:1 with points pt 7 ps 0.9 lc rgb "#cc3311" \\
         title "bound: max(bytes / link, CPU / cores)"
"""


def bars(path, title, rows):
    """rows: (name, seconds, bound in seconds).  False without gnuplot."""
    if not shutil.which("gnuplot"):
        return False
    rows = list(reversed(rows))
    data = "\n".join(f"{i} {seconds:.3f} {bound:.3f}"
                     for i, (_, seconds, bound) in enumerate(rows))
    tics = ", ".join(f'"{name}" {i}' for i, (name, _, _) in enumerate(rows))
    script = f"$rows << end\n{data}\nend\n" + SCRIPT.format(
        path=path, title=title, tics=tics, last=len(rows) - 0.3,
        height=150 + 32 * len(rows))
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    return True
