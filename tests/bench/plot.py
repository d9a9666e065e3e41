# SPDX-License-Identifier: GPL-2.0-or-later
"""Charts as SVG, by gnuplot where it is installed: False where it is not."""
import shutil
import subprocess

HEAD = """
set terminal svg size 900,{height} font "sans,13" background "white"
set output "{path}"
set title "{title}"
set key below
"""

BARS = """
set xrange [{across}]
set yrange [-0.7:{last}]
set ytics nomirror out scale 0 ({tics})
set grid xtics lc rgb "#dddddd"
set style fill solid noborder
"""

SECONDS = """
set xlabel "seconds"
plot $rows using 2:1:(0):2:($1-0.3):($1+0.3) with boxxyerror \\
         lc rgb "#4477aa" title "measured", \\
     $rows using 3:1 with points pt 7 ps 0.9 lc rgb "#cc3311" \\
         title "bound: max(bytes / link, CPU / cores)"
"""

RATIOS = """
set xlabel "time, beside the other's"
plot $rows using 2:1:(0):2:($1-0.3):($1+0.3) with boxxyerror \\
         lc rgb "#4477aa" title "median", \\
     $rows using 2:1:3:4 with xerrorbars pt 0 lc rgb "#000000" \\
         title "least and most", \\
     $rows using 5:1 with points pt 7 ps 0.9 lc rgb "#cc3311" title "aim"
"""

FRONTIERS = """
set logscale x
set xlabel "pages rewritten a second"
unset key
plot $rows using 2:1:({least}):2:($1-0.3):($1+0.3) with boxxyerror \\
         lc rgb "#4477aa", \\
     $rows using ($2 > 0 ? $2 : {least}):1:2 with labels left offset 0.5
"""

LINES = """
set logscale x
set xlabel "pages rewritten a second"
set ylabel "seconds to the end"
set xrange [{least}:{most}]
set yrange [0:{limit} * 1.4]
set xtics ({xtics})
set ytics 0, 10, {limit}
set ytics add ("does not count" {limit} * 1.2)
set grid xtics lc rgb "#dddddd"
set arrow from graph 0, first {limit} to graph 1, first {limit} nohead dt 2
plot {plots}
"""

COLUMNS = """
set key above
set bmargin 4
set xrange [-0.6:{cells} - 0.4]
set yrange [0:*]
set xtics nomirror out scale 0 ({tics})
set ylabel "{unit}"
set grid ytics lc rgb "#dddddd"
set style fill solid noborder
plot {plots}
"""

COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377",
           "#000000"]


def draw(script, rows):
    """The script's plot of the rows, as $rows."""
    if not shutil.which("gnuplot"):
        return False
    data = "\n".join(" ".join(map(str, row)) for row in rows)
    subprocess.run(["gnuplot"], input=f"$rows << end\n{data}\nend\n{script}",
                   text=True, check=True)
    return True


def horizontal(path, title, rows, what, across):
    """A bar for each of (name, value, ...), the first at the top; across is
    the range of the values."""
    rows = list(reversed(rows))
    tics = ", ".join(f'"{name}" {i}' for i, (name, *_) in enumerate(rows))
    head = (HEAD + BARS).format(path=path, title=title, tics=tics,
                                across=across, last=len(rows) - 0.3,
                                height=150 + 32 * len(rows))
    return draw(head + what, [(i, *row[1:]) for i, row in enumerate(rows)])


def column_plots(number, name, count):
    """A name's columns, from the median to the most a thin line."""
    width = 0.84 / count
    at = (number - (count - 1) / 2) * width
    mine = f"$rows using ($1=={number}?$2+({at:.3f}):NaN)"
    return [f"{mine}:3:({width * 0.9:.3f}) with boxes "
            f'lc rgb "{COLOURS[number % len(COLOURS)]}" title "{name}"',
            f"{mine}:3:3:4 with yerrorbars pt 0 lc rgb \"#000000\" notitle"]


def columns(path, title, unit, cells, series):
    """Columns beside each other in each cell, which is (name, aim).  series:
    by name a list of (cell's number, value, the most)."""
    rows = [(-1, i, aim, "NaN") for i, (_, aim) in enumerate(cells)]
    plots = []
    for number, (name, values) in enumerate(series.items()):
        rows += [(number, *value) for value in values]
        plots += column_plots(number, name, len(series))
    plots.append("$rows using ($1==-1?$2-0.45:NaN):3:(0.9):(0) with vectors "
                 'nohead lw 2 lc rgb "#cc3311" title "aim"')
    return draw((HEAD + COLUMNS).format(
        path=path, title=title, height=480, unit=unit, cells=len(cells),
        tics=", ".join(f'"{name}" {i}' for i, (name, _) in enumerate(cells)),
        plots=", ".join(plots)), rows)


def bars(path, title, rows):
    """rows: (name, seconds, bound in seconds)."""
    return horizontal(path, title, rows, SECONDS, "0:*")


def ratios(path, title, rows):
    """rows: (name, median, least, most, aim)."""
    return horizontal(path, title, rows, RATIOS, "0:*")


def frontiers(path, title, rows):
    """rows: (name, pages a second)."""
    least = min((value for _, value in rows if value), default=100) / 2
    return horizontal(path, title, rows, FRONTIERS.format(least=least),
                      f"{least}:{10 * least}<*")


def pages(rate):
    return f"{rate / 1000:g}k" if rate >= 1000 else str(rate)


def line_rows(number, points, above):
    """(number, rate, seconds, height of one that does not count)"""
    return [(number, rate, "NaN", above) if seconds is None
            else (number, rate, seconds, "NaN") for rate, seconds in points]


def line_plots(number, name):
    """A line through the points that count, and crosses for the others."""
    mine = f"$rows using ($1=={number}?$2:NaN)"
    colour = f'lc rgb "{COLOURS[number % len(COLOURS)]}"'
    dashes = number // len(COLOURS) + 1
    return [f"{mine}:3 with linespoints {colour} dt {dashes} pt {number + 4} "
            f'title "{name}"',
            f"{mine}:4 with points {colour} pt 2 notitle"]


def lines(path, title, series, limit):
    """series: by name the points (rate, seconds); None for the seconds of one
    that does not count.  Such points are above the limit, each name's at its
    own height, so that none hides another."""
    rates = sorted({rate for points in series.values() for rate, _ in points})
    rows, plots = [], []
    for i, (name, points) in enumerate(series.items()):
        above = limit * (1.04 + 0.32 * (i + 1) / (len(series) + 1))
        rows += line_rows(i, points, above)
        plots += line_plots(i, name)
    return draw((HEAD + LINES).format(
        path=path, title=title, height=560, limit=limit,
        least=rates[0] / 1.3, most=rates[-1] * 1.3,
        xtics=", ".join(f'"{pages(rate)}" {rate}' for rate in rates),
        plots=", ".join(plots)), rows)
