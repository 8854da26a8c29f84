#!/usr/bin/env bash
# Renders a report as people see it: in a browser, wide and narrow, light and dark.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/report-shots.sh [-h] [REPORT] [SHOTS]

Renders REPORT (a report.html, the folder of one, or a folder of results; default: one of made-up results) in headless
Chromium at 1,280 and 400 pixels wide, in light and dark, saves a screenshot of each in SHOTS (default: shots beside the
report), and checks the layout: nothing is wider than the page, no text of a plot is cut off, no two texts of a plot
overlap. Exits with 1 if there is a fault.

Installs nothing. Uses $CHROMIUM, or else chromium, chromium-browser or google-chrome.
TEXT
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
esac

cd_to_root() { cd "$(dirname "${BASH_SOURCE[0]}")/.."; }

browser=${CHROMIUM-}
for name in chromium chromium-browser google-chrome; do
    [[ -n $browser ]] || browser=$(command -v "$name" || true)
done
if [[ -z $browser ]]; then
    echo "missing: Chromium (apt-get install chromium), or set CHROMIUM to the path of one" >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

report=${1-}
if [[ -z $report ]]; then
    cd_to_root
    CORECAST_TEST_KEEP=$scratch/kept cargo test --quiet -p corecast-bench --test report everything_is_written >&2
    report=$scratch/kept/everything/report/report.html
    shots=${2:-shots}
elif [[ -d $report && -f $report/results.json ]]; then
    report=$(cargo run --quiet --manifest-path "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml" -p corecast-bench -- \
        report "$report")
elif [[ -d $report ]]; then
    report=$report/report.html
fi
if [[ ! -f $report ]]; then
    echo "$report is not a report: make one with corecast-bench report RESULTS" >&2
    exit 1
fi
shots=${shots:-${2:-$(dirname "$report")/shots}}
mkdir -p "$shots"

# A copy of the report, which has no script, that measures itself after its layout.
{
    cat "$report"
    cat <<'HTML'
<script>
addEventListener("load", () => {
  const found = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push("the page is wider than " + width);
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    if (element.closest(".scroll") && !element.matches(".scroll")) continue;
    const box = element.getBoundingClientRect();
    if (box.width && box.right > width + 1) found.push("too wide: " + element.tagName + " " + element.className);
  }
  for (const svg of document.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const texts = [...svg.querySelectorAll("text")].map(text => [text.textContent.trim(), text.getBoundingClientRect()]);
    const where = svg.getAttribute("aria-label") + ": ";
    texts.forEach(([words, box], index) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        found.push(where + "cut off: " + words);
      for (const [others, other] of texts.slice(index + 1)) {
        const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (wide > 1.5 && high > 4) found.push(where + "covered: " + words + " / " + others);
      }
    });
  }
  const shown = [...document.querySelectorAll("svg")].filter(svg => svg.getBoundingClientRect().width).length;
  const lines = ["measured " + width + " " + document.documentElement.scrollHeight + " " + shown, ...found];
  parent.postMessage(lines, "*");
});
</script>
HTML
} >"$scratch/measured.html"

# frame PAGE WIDTH HEIGHT: the page in a frame of that width, since a window has at least 500 pixels. The page's
# measurements are written into the frame's page.
frame() {
    cat >"$scratch/frame.html" <<HTML
<body style="margin:0;background:#888"><iframe src="file://$1" style="border:0;display:block;width:$2px;height:$3px">
</iframe><pre id="measured"></pre><script>
addEventListener("message", event => {
  document.getElementById("measured").textContent = "\n" + event.data.join("\n") + "\n";
});
</script></body>
HTML
}

# look WIDTH HEIGHT SCHEME ARGUMENTS...: starts the browser once, with a profile of its own and no network.
look() {
    local width=$1 height=$2 scheme=$3
    shift 3
    rm -rf "$scratch/profile"
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
        --user-data-dir="$scratch/profile" --window-size="$width,$height" \
        --blink-settings="preferredColorScheme=$scheme" "$@" 2>"$scratch/browser.log"
}

complaints=0
for width in 1280 400; do
    frame "$scratch/measured.html" "$width" 900
    said=$(look "$width" 900 1 --virtual-time-budget=5000 --dump-dom "file://$scratch/frame.html" | sed -n '/^measured /,/^<\/pre>/p' | sed '$d')
    read -r _ measured height plots <<<"$(head -n 1 <<<"$said")" || true
    if [[ ${measured-} != "$width" ]]; then
        echo "the browser did not render the page at $width pixels: ${said:-$(tail -n 3 "$scratch/browser.log")}" >&2
        exit 1
    fi
    if found=$(tail -n +2 <<<"$said" | grep .); then
        sed "s/^/$width pixels: /" <<<"$found" >&2
        complaints=$((complaints + $(wc -l <<<"$found")))
    fi
    for scheme in light dark; do
        shot=$shots/report-$width-$scheme.png
        frame "$(realpath "$report")" "$width" "$height"
        look "$width" "$height" "$([[ $scheme == dark ]] && echo 0 || echo 1)" --screenshot="$shot" \
            "file://$scratch/frame.html"
        echo "$shot: $width x $height, $plots plots"
    done
done

echo "$complaints complaints"
[[ $complaints == 0 ]]
