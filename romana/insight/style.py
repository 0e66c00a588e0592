"""How the page looks, on a screen by day and night and on paper; and the one thing that it does."""

STYLE = """
:root{--ink:#16202c;--soft:#5b6b7d;--line:#dbe2ea;--paper:#fff;--band:#f4f7fa;
--all:#2f9e6e;--some:#cfe8f7;--some-ink:#0b4a6f;--part:#fbe5bd;--part-ink:#6b4700;--none:#fff;
--hot:#16202c}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#93a1b0;--line:#2c3744;--paper:#11161c;
--band:#1a222b;--all:#2b8a61;--some:#173f57;--some-ink:#bfe3f8;--part:#4f3a10;--part-ink:#f6dca4;
--none:#11161c;--hot:#e6edf3}}
*{box-sizing:border-box}
body{margin:0 auto;padding:28px 32px 60px;max-width:1600px;background:var(--paper);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
h1{font-size:26px;margin:0 0 2px;letter-spacing:-.01em}h2{font-size:19px;margin:36px 0 12px}
header p{margin:0;color:var(--soft)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:6px 20px;padding:0;margin:18px 0 14px;
color:var(--soft);font-size:13px}
.legend li{display:flex;align-items:center;gap:7px}.legend .hint{margin-left:auto}
.legend i{width:22px;height:15px;border-radius:3px;border:1px solid var(--line);display:block}
.frame{overflow:auto;max-height:86vh;width:max-content;max-width:100%;
border:1px solid var(--line);border-radius:10px}
table.matrix{border-collapse:separate;border-spacing:0;font-size:12.5px}
.matrix th{background:var(--band);font-weight:600;text-align:left;z-index:1}
.matrix thead th{position:sticky;top:0}
.matrix thead tr:nth-child(2) th{top:27px}
.matrix .namespace{height:27px;padding:4px 8px;border-left:2px solid var(--line);color:var(--soft);
font-size:12px}
.matrix .namespace span{white-space:nowrap}
.matrix .to{height:166px;padding:0;vertical-align:bottom;min-width:54px;border-bottom:2px solid
var(--line)}
.matrix .to div{height:158px;padding-bottom:6px;
display:flex;align-items:flex-end;justify-content:center}
.matrix .to span{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;
max-height:150px;overflow:hidden;text-overflow:ellipsis}
.matrix .row{position:sticky;left:0;padding:5px 14px 5px 12px;white-space:nowrap;max-width:320px;
overflow:hidden;text-overflow:ellipsis;border-right:2px solid var(--line);z-index:2}
.matrix small{color:var(--soft);font-weight:400;font-size:11.5px}
.matrix thead .corner{left:0;z-index:3;min-width:160px;border-right:2px solid var(--line);
border-bottom:2px solid var(--line);color:var(--soft);font-weight:400}
.corner span{position:absolute}.corner .from{left:12px;bottom:8px}.corner .over{right:12px;top:8px}
.matrix td{height:34px;min-width:54px;padding:2px 6px;text-align:center;white-space:nowrap;
border-bottom:1px solid var(--line);border-right:1px solid var(--line);
font-variant-numeric:tabular-nums}
tbody tr:last-child td{border-bottom:0}td.all{font-size:11px;font-weight:600}
.matrix .edge{border-left:2px solid var(--line)}
.matrix tr.first td,.matrix tr.first th.row{border-top:2px solid var(--line)}
.all{background:var(--all);color:#fff}.some{background:var(--some);color:var(--some-ink)}
.part{background:var(--part);color:var(--part-ink)}.none{background:var(--none)}
.self{background:repeating-linear-gradient(135deg,var(--band) 0 4px,var(--line) 4px 5px)}
.beyond{background:var(--line);opacity:.55}
td.none::after{content:"\\b7";color:var(--line)}
.matrix td.lit{box-shadow:inset 0 0 0 99px rgb(127 127 127/.13)}
.matrix td.lit:hover{box-shadow:inset 0 0 0 2px var(--hot)}
.matrix th.lit{color:var(--ink);text-decoration:underline;text-underline-offset:3px}
.cards{columns:360px 4;column-gap:16px}
.cards section{break-inside:avoid;border:1px solid var(--line);border-radius:10px;padding:12px 16px;
margin:0 0 16px}
h3{font-size:15px;margin:0}section p{margin:0;color:var(--soft);font-size:12.5px;
overflow-wrap:anywhere}
h4{font-size:12px;margin:10px 0 4px;color:var(--soft);font-weight:600}
h4 b{font-weight:600;border-radius:9px;padding:1px 8px;font-size:11px;margin-left:4px}
.isolated{background:var(--some);color:var(--some-ink)}.open{background:var(--part);
color:var(--part-ink)}
dl{margin:0;display:grid;grid-template-columns:max-content 1fr;gap:2px 12px;font-size:13px}
dt{font-weight:600;max-width:150px}dd{margin:0;overflow-wrap:anywhere}
@media print{body{padding:0;max-width:none;font-size:11px}.frame{overflow:visible;max-height:none;
border:0}.matrix th,.matrix thead th{position:static}.corner span{position:static;display:block}
table.matrix{font-size:8.5px}.matrix td,.matrix .to{min-width:0;padding:1px 2px}
.matrix td{height:20px}.matrix .row{padding:1px 6px}.matrix small,td.all{font-size:8px}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.legend .hint{margin-left:0}
@page{size:landscape;margin:12mm}}
"""

SCRIPT = """
const table=document.querySelector('.matrix');
const columns=[...table.querySelectorAll('thead tr:nth-child(2) th')];
let lit=[];
table.addEventListener('mouseover',event=>{
  const cell=event.target.closest('td');
  lit.forEach(each=>each.classList.remove('lit'));
  if(!cell){lit=[];return}
  const at=cell.cellIndex;
  lit=[...cell.parentNode.cells,...[...table.tBodies[0].rows].map(row=>row.cells[at]),columns[at-1]];
  lit.forEach(each=>each.classList.add('lit'));
});
"""
