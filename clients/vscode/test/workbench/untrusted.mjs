export async function checkUntrusted() {}
